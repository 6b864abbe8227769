"""Keep torch's compiler out of the imports of a run, which would start later by half an import of torch.

Lightning imports `torch._dynamo` for the class that `torch.compile` returns, each optimizer for two functions that
matter to compiled code alone, and torch.distributed calls two more where the module is there. Those names are answered
here; any other name loads the compiler into the same module.
"""

import functools
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    Loader = object  # importlib.abc imports importlib.resources, a sixth of the time in which `copycat runs` starts

NAME = "torch._dynamo"


def defer_compiler() -> None:
    """Defer the compiler whenever a package imports it."""
    if NAME not in sys.modules:
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Find the compiler by the usual finders, and put off its execution until a submodule is imported."""

    def __init__(self) -> None:
        self.is_asking = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if self.is_asking or not f"{fullname}.".startswith(f"{NAME}."):
            return None
        if fullname != NAME:
            compiler = sys.modules[NAME]
            if isinstance(compiler, _DeferredCompiler):
                sys.meta_path.remove(self)
                compiler.load()
            loaded = sys.modules.get(fullname)  # where the compiler itself has imported the submodule
            return None if loaded is None else ModuleSpec(fullname, _Loaded(loaded))
        self.is_asking = True
        try:
            spec = find_spec(NAME)
        finally:
            self.is_asking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _DeferringLoader(spec.loader)
        return spec


class _Loaded(Loader):
    """Return a module that was imported meanwhile."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


class _DeferringLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _DeferredCompiler(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _DeferredCompiler(ModuleType):
    """Stand for the compiler until a name is asked for that only the compiler has."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._calls: list[tuple[Any, Callable[[], Any]]] = []
        placeholder = _CompiledModules("OptimizedModule", (), {"compiler": self})
        self.__dict__.update(disable=self._disable, graph_break=lambda *_, **__: None, OptimizedModule=placeholder)
        # what a process group clears is empty; how DDP reduces gradients is the compiler's default
        self.trace_rules = _DeferredPart("trace_rules", clear_lru_cache=lambda: None)
        self.utils = _DeferredPart("utils", get_optimize_ddp_mode=lambda: "ddp_optimizer")

    def _disable(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """Return a function that the compiler, once it is loaded, leaves as it is."""

        @functools.wraps(function)
        def call(*inner_args: Any, **inner_kwargs: Any) -> Any:
            return call.function(*inner_args, **inner_kwargs)  # type: ignore[attr-defined]

        call.function = function  # type: ignore[attr-defined]
        self._calls.append((call, lambda: self.disable(function, *args, **kwargs)))
        return call

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {NAME!r} has no attribute {name!r}")
        self.load()
        return getattr(self, name)

    def load(self) -> None:
        """Execute the compiler's module in this one."""
        calls = self._calls
        for placeholder in ("disable", "graph_break", "OptimizedModule", "trace_rules", "utils", "_calls"):
            del self.__dict__[placeholder]
        spec = self.__spec__
        assert spec is not None
        assert isinstance(spec.loader, _DeferringLoader)
        self.__loader__ = spec.loader = spec.loader.loader
        self.__class__ = ModuleType  # type: ignore[assignment]
        spec.loader.exec_module(self)
        for call, disable in calls:
            call.function = disable()


class _DeferredPart:
    """Stand for a submodule of the compiler, which is imported for any name but those of these functions."""

    def __init__(self, name: str, **functions: Callable[[], object]) -> None:
        self.__dict__.update(functions, _name=name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module '{NAME}.{self._name}' has no attribute {name!r}")
        return getattr(import_module(f"{NAME}.{self._name}"), name)


class _CompiledModules(type):
    """Tell compiled modules from others: there are none before the compiler is loaded."""

    compiler: ModuleType

    def __instancecheck__(cls, instance: Any) -> bool:
        compiled = cls.compiler.OptimizedModule
        return compiled is not cls and isinstance(instance, compiled)
