"""What the package's own source may not contain, by its syntax: pickles, evaluation, foreign code, open servers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path for floor in ("harness", "trainers", "leaderboards", "tasks") for path in (ROOT / floor).rglob("*.py")
)
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
SERVERS = {"HTTPServer", "ThreadingHTTPServer", "TCPServer", "ThreadingTCPServer", "start_server", "create_server"}


def findings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"imports {name.name}" for name in node.names if name.name.split(".")[0] in PICKLES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PICKLES:
            yield f"imports {node.module}"
        elif isinstance(node, ast.Call):
            yield from _of_call(node)
        elif isinstance(node, ast.Constant) and node.value in ("0.0.0.0", "::"):
            yield "names every interface"


def _of_call(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    if name in {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp"}:
        yield f"calls {name}"
    if name in {
        "torch.load",
        "numpy.load",
        "np.load",
        "pandas.read_pickle",
        "yaml.load",
        "yaml.unsafe_load",
        "yaml.full_load",
    }:
        yield f"calls {name}"
    if name.endswith((".extractall", ".unpack_archive")):
        yield f"calls {name}"
    for option in ("shell", "trust_remote_code", "allow_pickle"):
        value = keywords.get(option)
        if value is not None and not (isinstance(value, ast.Constant) and value.value is False):
            yield f"{option}={ast.unparse(value)}"
    loads = name.endswith("from_pretrained") and name.split(".")[0].startswith("Auto")
    if loads and "trust_remote_code" not in keywords:
        yield f"{name} leaves trust_remote_code to its default"
    if name.split(".")[-1] in SERVERS and not (
        node.args and ast.unparse(node.args[0]).startswith(("('127.0.0.1'", "('::1'"))
    ):
        yield f"{name} binds to more than loopback"


def test_no_source_reads_pickles_runs_text_or_opens_a_door() -> None:
    assert len(SOURCES) > 150
    found = [f"{path.relative_to(ROOT)}: {said}" for path in SOURCES for said in findings(ast.parse(path.read_text()))]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from dill import loads",
        "eval(text)",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "subprocess.run(text, shell=True)",
        "AutoTokenizer.from_pretrained(path)",
        "AutoModel.from_pretrained(path, trust_remote_code=asked)",
        "HTTPServer(('', 8000), Handler)",
        "serve(host='0.0.0.0')",
        "archive.extractall(folder)",
    ],
)
def test_the_scan_sees_what_it_looks_for(source: str) -> None:
    assert list(findings(ast.parse(source)))


@pytest.mark.parametrize("source", ["model.eval()", "HTTPServer(('127.0.0.1', 0), Handler)", "re.compile(x)"])
def test_the_scan_leaves_the_rest_alone(source: str) -> None:
    assert not list(findings(ast.parse(source)))
