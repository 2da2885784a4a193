"""The package itself: examples, documentation, types, import."""

import ast
import doctest
import importlib
import inspect
import subprocess
import sys
import unittest
from pathlib import Path

import facefold
from facefold import _facefold

MODULES = ["facefold", *(f"facefold.{name}" for name in ("_bundle", "_embed", "_evaluate", "_pictures", "_store"))]


def run(script):
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return done.stdout


class Package(unittest.TestCase):
    def test_examples_give_what_they_say(self):
        flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
        attempted = 0
        for name in MODULES:
            failed, tried = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
            self.assertEqual(failed, 0, name)
            attempted += tried
        self.assertGreater(attempted, 20)
        page = Path(__file__).parents[3] / "docs/python.md"
        failed, tried = doctest.testfile(str(page), module_relative=False, optionflags=flags)
        self.assertEqual(failed, 0)
        self.assertGreater(tried, 10)

    def test_everything_public_is_documented_and_typed(self):
        self.assertEqual(facefold.__all__, sorted(facefold.__all__, key=str))
        for name in facefold.__all__:
            member = getattr(facefold, name)
            if name == "__version__":
                continue
            self.assertTrue(member.__doc__, name)
            functions = [member] if inspect.isfunction(member) else [
                getattr(found, "fget", found)
                for key, found in vars(member).items()
                if (inspect.isfunction(found) or isinstance(found, property)) and not key.startswith("_")
            ]
            for function in functions:
                self.assertTrue(function.__doc__, f"{name}.{function.__name__}")
                signature = inspect.signature(function)
                self.assertIsNot(signature.return_annotation, signature.empty, f"{name}.{function.__name__}")
                for parameter in signature.parameters.values():
                    if parameter.name != "self":
                        self.assertIsNot(parameter.annotation, parameter.empty, f"{name}: {parameter}")

    def test_the_stubs_have_what_the_compiled_module_has(self):
        stubs = ast.parse((Path(facefold.__file__).parent / "_facefold.pyi").read_text(encoding="utf-8"))

        def names(body):
            found = {}
            for node in body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    found[node.name] = node
                elif isinstance(node, ast.AnnAssign):
                    found[node.target.id] = node
            return found

        declared = names(stubs.body)
        public = {name for name in vars(_facefold) if not name.startswith("_")} | {"__version__"}
        self.assertEqual(set(declared), public)
        for name in public:
            member = getattr(_facefold, name)
            if inspect.isclass(member):
                members = {key for key in vars(member) if not key.startswith("_") or key in ("__new__", "__len__")}
                self.assertEqual(set(names(declared[name].body)), members, name)
                for key, node in names(declared[name].body).items():
                    if inspect.ismethoddescriptor(vars(member)[key]) and key != "__len__":
                        self.same_parameters(node, getattr(member, key))
            elif callable(member):
                self.same_parameters(declared[name], member)
        self.assertTrue((Path(facefold.__file__).parent / "py.typed").exists())

    def same_parameters(self, node, function):
        arguments = [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
        self.assertEqual(arguments, list(inspect.signature(function).parameters), node.name)

    def test_import_is_quick_and_leaves_pandas_alone(self):
        script = """
import sys, time
start = time.process_time()
import facefold
print(time.process_time() - start)
assert not {"pandas", "PIL", "scipy"} & set(sys.modules), "imported more than it needs"
"""
        # The best of some: this machine may have more to do.
        self.assertLess(min(float(run(script)) for _ in range(5)), 0.3)

    def test_pandas_is_not_needed_before_a_frame_is_asked_for(self):
        import program

        script = f"""
import sys
sys.modules["pandas"] = None
import facefold
store = facefold.Store({str(program.store())!r})
assert len(store.to_numpy()) == len(store) > 0
for make in (store.to_pandas, lambda: facefold.cross_validate([[1.0]], ["f"])):
    try:
        make()
    except ImportError as error:
        print(error)
"""
        self.assertEqual(run(script).count("pandas"), 2)

    def test_the_version_is_the_programs(self):
        import program

        self.assertEqual(program.facefold("--version").split()[1], facefold.__version__)


if __name__ == "__main__":
    unittest.main()
