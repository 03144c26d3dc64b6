"""What ships: exactly aims_mlflow/**, no top-level plugins, monitors or model_card."""

import configparser
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAPPED = ("plugins", "monitors", "model_card")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    source = tmp_path_factory.mktemp("source") / "tree"
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)],
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_only_our_package(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"aims_mlflow"}
    top_level = next(n for n in wheel.namelist() if n.endswith("top_level.txt"))
    assert wheel.read(top_level).decode().split() == ["aims_mlflow"]


def test_the_wheel_holds_every_module_and_data_file(wheel):
    names = set(wheel.namelist())
    for folder in ("aims_mlflow", *MAPPED):
        for path in (ROOT / folder).rglob("*"):
            relative = path.relative_to(ROOT)
            if path.is_dir() or "__pycache__" in path.parts or path.is_symlink():
                continue
            if folder == "aims_mlflow" and any(p in MAPPED for p in relative.parts[1:2]):
                continue  # through a link
            inside = relative if folder == "aims_mlflow" else Path("aims_mlflow") / relative
            assert inside.as_posix() in names


def test_every_package_is_listed_in_setup_cfg():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    found = set()
    for folder in ("aims_mlflow", *MAPPED):
        for path in (ROOT / folder).rglob("__init__.py"):
            relative = path.parent.relative_to(ROOT)
            if folder == "aims_mlflow" and any(p in MAPPED for p in relative.parts[1:2]):
                continue
            parts = relative.parts if folder == "aims_mlflow" else ("aims_mlflow", *relative.parts)
            found.add(".".join(parts))
    assert found == listed


def test_our_folders_are_no_top_level_modules():
    code = f"import importlib.util as u; print([n for n in {MAPPED} if u.find_spec(n)])"
    answer = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert answer.stdout.strip() == "[]"


def test_the_links_are_links():
    modes = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-s", *(f"aims_mlflow/{m}" for m in MAPPED)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    assert [line[:6] for line in modes if line] == ["120000"] * 3


def _imported_by(code: str, **environment: str) -> set[str]:
    script = f"{code}\nimport sys; print(*sorted(m.split('.')[0] for m in sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", **environment},
    )
    return set(answer.stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    heavy = {"mlflow", "evidently", "fairlearn", "pandas", "numpy", "sklearn", "sqlalchemy"}
    assert not heavy & _imported_by("import aims_mlflow")


def test_a_governed_import_of_mlflow_adds_no_measuring_library():
    plain = _imported_by("import mlflow")
    governed = _imported_by("import mlflow", AIMS_SYSTEM="x")
    assert governed - plain <= {"aims_mlflow", "filelock"}
