"""Rules as files, such as in git: export, validate, diff, apply and render, with exit codes that CI can go by.

Nothing here publishes: `apply` ends in a draft, which somebody else approves. Results go to standard output, what went
wrong to standard error, and nothing shows a traceback.
"""

from __future__ import annotations

import json
import re
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import Error as DatabaseError
from django.urls import reverse
from django.utils import timezone

from catalog.services import gateways
from core.access import label, may
from core.commands import QuickCommand
from core.errors import Conflict, Invalid, NotFound, TollkeeperError
from core.models import User
from routing.management.rule_files import (
    INVALID,
    STANDARD_INPUT,
    UNUSABLE,
    RulesFile,
    Unusable,
    check_offline,
    opened,
    verdict,
)
from routing.models import ProposalState
from routing.rules import document, texts
from routing.rules.differences import differences
from routing.rules.exports import FORMS, Frozen
from routing.selectors import catalogue, checks, environments, exports, proposals, versions
from routing.services import files
from routing.services import proposals as drafting

DIFFERS = 1
TITLE = "Rules from a file"
BY = "manage.py rules"
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class Command(QuickCommand):
    help = (
        "Export rules to a file, validate a file, say what it would change, bring it into a draft, or write rules in "
        "the form of another gateway."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        does = parser.add_subparsers(dest="does", required=True, metavar="export|validate|diff|apply|render")

        export = does.add_parser("export", help="write rules as a file: those in force, a version or a draft")
        export.add_argument("environment")
        which = export.add_mutually_exclusive_group()
        which.add_argument("--version", type=_number, metavar="N", help="this version; else the one in force")
        which.add_argument("--draft", type=_number, metavar="ID", help="this draft")
        export.add_argument("--format", choices=texts.FORMS, help="else as -o is called, else YAML")
        export.add_argument("-o", "--output", metavar="FILE", help="else standard output")

        validate = does.add_parser("validate", help="say all that is wrong; exit 0 valid, 1 invalid, 2 cannot be read")
        validate.add_argument("files", nargs="+", metavar="FILE", help="JSON or YAML; - is standard input")
        validate.add_argument("--environment", metavar="E", help="where they are meant for; it has to be there")
        validate.add_argument("--schema-only", action="store_true", help="without the catalogue and its database")

        diff = does.add_parser("diff", help="say what a file would change; exit 0 the same, 1 it differs, 2 an error")
        diff.add_argument("file", metavar="FILE", help="JSON or YAML; - is standard input")
        diff.add_argument("environment")
        diff.add_argument("--version", type=_number, metavar="N", help="against this version, not the one in force")
        diff.add_argument("--format", choices=("text", "markdown", "json"), default="text")

        apply = does.add_parser("apply", help="bring a file into a draft; never publishes; exit 0 done, 1 refused")
        apply.add_argument("file", metavar="FILE", help="JSON or YAML; - is standard input")
        apply.add_argument("environment")
        apply.add_argument(
            "--draft", nargs="?", type=_number, const=0, required=True, metavar="ID",
            help="into a new draft, or into this open one",
        )  # fmt: skip
        apply.add_argument("--title", default="", help=f"of the draft; else {TITLE}")
        apply.add_argument("--submit", action="store_true", help="put it up for review")
        apply.add_argument(
            "--by", metavar="PERSON", help="whose work it is: an e-mail address, or the name of a service"
        )
        apply.add_argument("--saves", type=_number, metavar="N", help="write over what others saved, as of this count")

        render = does.add_parser("render", help="write rules in the form of another gateway; exit 0 done, 1 it cannot")
        render.add_argument("--format", choices=sorted(FORMS), required=True, help="the form")
        render.add_argument("--environment", metavar="E", default=environments.USUAL, help="else production")
        source = render.add_mutually_exclusive_group()
        source.add_argument("--version", type=_number, metavar="N", help="this version; else the one in force")
        source.add_argument("--file", metavar="FILE", help="this file, held to no state; - is standard input")
        render.add_argument("--gateway", metavar="NAME", help="whom it is for, where a budget is of one gateway")
        render.add_argument("-o", "--output", metavar="FILE", help="else standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            code = getattr(self, f"_{options['does']}")(options)
        except (Unusable, NotFound) as error:
            raise CommandError(str(error), returncode=UNUSABLE) from error
        except DatabaseError as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CommandError(f"The database does not answer: {said}", returncode=UNUSABLE) from error
        if code:
            sys.exit(code)

    # --- What can be done

    def _export(self, options: dict[str, Any]) -> int:
        environment, output = options["environment"], options["output"]
        form = options["format"] or (texts.guessed("{}", output) if output else texts.YAML)
        self._put(texts.written(self._chosen(environment, options["version"], options["draft"]), form), output)
        return 0

    def _put(self, text: str, output: str | None) -> None:
        if output is None or output == STANDARD_INPUT:
            self.stdout.write(text, ending="")
            return
        try:
            Path(output).write_text(text, encoding="utf-8")
        except OSError as error:
            raise Unusable(f"{output} cannot be written: {error.strerror or error}.") from error

    def _chosen(self, environment: str, version: int | None, draft: int | None) -> Any:
        """Return a draft's content, a version's, or that of the version in force."""
        if draft is not None:
            if not proposals.belongs(proposal_id=draft, environment=environment):
                raise NotFound(f"There is no draft {draft} in {environment}.")
            return proposals.content(proposal_id=draft)
        number = _live(environment) if version is None else version
        if number is None:
            raise NotFound(f"Nothing is in force in {environment} yet.")
        return _version(environment, number)

    def _validate(self, options: dict[str, Any]) -> int:
        if options["schema_only"]:
            return check_offline(options["files"], out=self.stdout, err=self.stderr)
        if options["environment"] is not None:
            _live(options["environment"])
        code = 0
        for name in options["files"]:
            try:
                file = opened(name)
            except Unusable as error:
                self.stderr.write(str(error))
                code = UNUSABLE
                continue
            wrong = file.wrong
            if file.content is not None:
                now = timezone.now()
                filled = catalogue.filled(file.content, at=now)
                wrong = file.found(checks.problems(filled, at=now, environment=options["environment"]))
            self._say(file, wrong)
            self.stderr.write(verdict(file, wrong, catalogue=True), self.style.NOTICE if wrong else self.style.SUCCESS)
            code = max(code, INVALID if wrong else 0)
        return code

    def _diff(self, options: dict[str, Any]) -> int:
        environment, number = options["environment"], options["version"]
        file = opened(options["file"])
        wrong, content = self._filled(file)
        if content is None:
            self._say(file, wrong, err=True)
            raise Unusable(verdict(file, wrong))
        if number is None:
            number = _live(environment)
        before = versions.NOTHING if number is None else _version(environment, number)
        changes = differences(before, content)
        same = document.canonical(before) == document.canonical(content)
        against = f"version {number} of {environment}" if number else f"{environment}, which has no rules yet"
        told = {"text": _as_text, "markdown": _as_markdown}.get(options["format"])
        if told is not None:
            self.stdout.write(told(against, changes, same))
        else:
            whole = {"environment": environment, "version": number, "same": same, "changes": changes}
            whole["sha256"] = document.sha256(document.canonical(content)).hex()
            self.stdout.write(json.dumps(whole, ensure_ascii=False, indent=2))
        return 0 if same else DIFFERS

    def _apply(self, options: dict[str, Any]) -> int:
        environment, by = options["environment"], _applier(options["by"])
        file = opened(options["file"])
        if file.content is None:
            self._say(file, file.wrong, err=True)
            self.stderr.write(verdict(file, file.wrong))
            return INVALID
        _live(environment)
        try:
            applied = files.apply(
                environment=environment,
                content=file.content,
                by=by,
                at=timezone.now(),
                title=options["title"] or ("" if options["draft"] else TITLE),
                draft=options["draft"] or None,
                saves=options["saves"],
            )
        except Invalid as error:
            return self._refused(file, error)
        except Conflict as error:
            self.stderr.write(str(error))
            return INVALID
        if applied.proposal is None:
            self.stdout.write(f"Version {applied.version} is in force with this content: there is nothing to do.")
            return 0
        draft = applied.proposal
        words = {"started": "is started", "saved": "is saved", "found": "has this content already"}[applied.how]
        self.stdout.write(f"Draft {draft.pk} {words}: {_address(environment, draft.pk)}")
        if options["submit"] and draft.state == ProposalState.DRAFT:
            try:
                drafting.submit(proposal_id=draft.pk, by=by, at=timezone.now())
            except (Invalid, Conflict) as error:
                return self._refused(file, error)
            self.stdout.write(f"Draft {draft.pk} is in review.")
        elif options["submit"]:
            self.stdout.write(f"Draft {draft.pk} is {draft.get_state_display()} already.")
        return 0

    def _render(self, options: dict[str, Any]) -> int:
        environment, form = options["environment"], FORMS[options["format"]]
        file = None if options["file"] is None else opened(options["file"])
        if file is not None:
            wrong, content = self._filled(file)
            if content is None:
                self._say(file, wrong, err=True)
                raise Unusable(verdict(file, wrong))
            frozen = exports.of_file(content, environment=environment, at=timezone.now())
        else:
            frozen = self._frozen(environment, options["version"], options["gateway"])
        fit = exports.beside(frozen, form)
        for one in fit.left_out:
            self.stderr.write(f"left out: {one.pointer}: {one.text}")
        for one in fit.unheld:
            self.stderr.write(f"limit not held there: {one.text} [{one.code}]")
        if fit.text is None:
            if file is not None:
                self._say(file, file.found(fit.unfit), err=True)
            else:
                for one in fit.unfit:
                    self.stderr.write(f"{one.pointer or '/'}: {one.text} [{one.code}]")
            self.stderr.write(f"{form.title} cannot say these rules.")
            return INVALID
        self._put(fit.text, options["output"])
        return 0

    def _frozen(self, environment: str, number: int | None, gateway: str | None) -> Frozen:
        live = _live(environment)
        if live is None:
            raise NotFound(f"Nothing is in force in {environment} yet.")
        name = None if gateway is None else gateways.get(gateway).name
        found = exports.of_version(environment=environment, number=number or live, at=timezone.now(), gateway=name)
        if found is None:
            raise NotFound(f"There is no version {number} of {environment}.")
        return found

    # --- Words

    def _filled(self, file: RulesFile) -> tuple[list[texts.Wrong], dict[str, Any] | None]:
        """Return a file's content with its offerings, or what breaks the schema."""
        if file.content is None:
            return file.wrong, None
        content = catalogue.filled(file.content, at=timezone.now())
        wrong = file.found(document.schema_problems("content", content))
        return wrong, None if wrong else content

    def _say(self, file: RulesFile, wrong: list[texts.Wrong], *, err: bool = False) -> None:
        for line in file.said(wrong):
            (self.stderr if err else self.stdout).write(line)

    def _refused(self, file: RulesFile, error: TollkeeperError) -> int:
        told = file.placed(error.problems) if isinstance(error, Invalid) else []
        self._say(file, told, err=True)
        self.stderr.write(str(error))
        return INVALID


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text) <= 2_000_000_000:
        raise ValueError(text)
    return int(text)


_number.__name__ = "number"  # what argparse says of a text that is none


def _live(environment: str) -> int | None:
    """Return the number of the version in force.

    Raises:
        NotFound: there is no such environment; a name that was mistyped would get rules of its own.
    """
    row = environments.one(name=environment)
    if row is None:
        known = ", ".join(one.name for one in environments.listed())
        raise NotFound(f"There is no environment {environment}; there is {known}.")
    return row.live_version


def _version(environment: str, number: int) -> Any:
    found = versions.one(environment=environment, number=number)
    if found is None:
        raise NotFound(f"There is no version {number} of {environment}.")
    return found.content


def _applier(by: str | None) -> str:
    """Return how the audit trail calls whoever applies: a person by her address, a service as service:NAME.

    Raises:
        Unusable: nobody who may write drafts has this address, or this is no name of a service.
    """
    if by is None:
        return BY
    if "@" in by:
        person = User.objects.filter(email__iexact=by.strip()).first()
        if person is None or not may(person, "rules.edit"):
            raise Unusable(f"Nobody who may write drafts of rules has the address {by}.")
        return label(person)
    if not _SERVICE.fullmatch(by):
        raise Unusable(f"{by} is neither an e-mail address nor the name of a service, such as ci.")
    return f"service:{by}"


def _address(environment: str, draft: int) -> str:
    return settings.BASE_URL + reverse("rules-draft", args=[environment, draft])


_ONLY_LAYOUT = "Nothing that a gateway would do otherwise: the same is written in another way."


def _as_text(against: str, changes: list[str], same: bool) -> str:
    if same:
        return f"The same as {against}."
    lines = changes or [_ONLY_LAYOUT]
    return "\n".join([f"Against {against}:", *(f"- {line}" for line in lines)])


def _as_markdown(against: str, changes: list[str], same: bool) -> str:
    """Return a comment for a review: nothing that a rule says is read as markup."""
    if same:
        return f"**Rules:** the same as {_plain(against)}."
    lines = changes or [_ONLY_LAYOUT]
    return "\n".join([f"**Rules, against {_plain(against)}:**", "", *(f"- {_plain(line)}" for line in lines)])


def _plain(text: str) -> str:
    escaped = re.sub(r"([\\`*_\[\]<>|#@~&])", r"\\\1", text)
    return " ".join(escaped.split())
