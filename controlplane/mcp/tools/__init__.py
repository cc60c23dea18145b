"""The tools, in the order in which they are listed."""

from controlplane.mcp.asking import Tool
from controlplane.mcp.tools import budget, decision, model, spending

TOOLS: dict[str, Tool] = {one.name: one for one in (budget.TOOL, decision.TOOL, spending.TOOL, model.TOOL)}
