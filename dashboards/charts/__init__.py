"""Figures. The only place where Decimal turns into float: a drawing has fewer digits than money."""
