"""Bring .venv to what a lock file says: `python3 requirements/install.py base` (to run) or `dev` (to work on it).

`litellm` is an environment of its own, .litellm: the tests run its proxy, and `make bench` compares with it.

Run by whatever Python the machine has, with nothing installed; does nothing when the lock has not changed. Every
package is checked against its hash. uv does the work, because it is several times faster; where it cannot be had or
cannot reach the packages, pip does the same.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        "Tollkeeper needs Python 3.11 or later, and this is {}.{}; "
        "say which to use with make PYTHON=/path/to/python3.11.".format(*sys.version_info)
    )

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OWN = {"litellm": ROOT / ".litellm"}  # the others share .venv


def main(kind: str) -> int:
    venv = OWN.get(kind, VENV)
    python, stamp = venv / "bin" / "python", venv / ".installed"
    # The dev lock contains the base lock, so whoever has the one needs nothing for the other.
    wanted = {f"{name} {_digest(name)}" for name in ({kind, "dev"} if kind == "base" else {kind})}
    if python.exists() and stamp.exists() and stamp.read_text().strip() in wanted:
        return 0

    stamp.unlink(missing_ok=True)
    lock = ROOT / "requirements" / f"{kind}.lock"
    print(f"Installing {lock.relative_to(ROOT)} into {venv.name}", flush=True)  # noqa: T201
    if not python.exists() and _run(sys.executable, "-m", "venv", str(venv)) != 0:
        print(  # noqa: T201
            "This Python cannot make a virtual environment (on Debian: apt-get install python3-venv).",
            file=sys.stderr,
        )
        return 1
    if not (_with_uv(venv, lock) or _with_pip(venv, lock)):
        print(f"Could not install {lock.relative_to(ROOT)}; see above.", file=sys.stderr)  # noqa: T201
        return 1
    stamp.write_text(f"{kind} {_digest(kind)}\n")
    return 0


def _with_uv(venv: Path, lock: Path) -> bool:
    uv = VENV / "bin" / "uv"
    pinned = ROOT / "requirements" / "uv.lock"
    if not uv.exists() and (venv != VENV or _pip(venv, "--require-hashes", "-r", str(pinned)) != 0):
        return False
    environment = {**os.environ, "VIRTUAL_ENV": str(venv)}
    # Trust what the machine trusts, as pip does: behind a company's proxy uv's own list of authorities is not enough.
    environment.setdefault("UV_SYSTEM_CERTS", "1")
    # pip's own setting counts for uv too: where packages come from is said in one place.
    if "PIP_INDEX_URL" in os.environ:
        environment.setdefault("UV_DEFAULT_INDEX", os.environ["PIP_INDEX_URL"])
    command = [str(uv), "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", str(lock)]
    return subprocess.run(command, env=environment, check=False).returncode == 0  # noqa: S603


def _with_pip(venv: Path, lock: Path) -> bool:
    return _pip(venv, "--require-hashes", "-r", str(lock)) == 0


def _pip(venv: Path, *arguments: str) -> int:
    return _run(
        str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments
    )


def _run(*command: str) -> int:
    return subprocess.run(command, check=False).returncode  # noqa: S603


def _digest(kind: str) -> str:
    return hashlib.sha256((ROOT / "requirements" / f"{kind}.lock").read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
