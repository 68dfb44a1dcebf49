"""LLVM text to functions in this process; they are freed with what refers to them.

Start at `link`.  Every module gets an engine of its own, for engines free all of their
memory or nothing.  Modules find each other's functions only where these are `shared`,
and such stay as long as the process.  Nothing here waits for Numba's compiler, whose
lock may be held for long, and in a forked child for ever.
"""

from __future__ import annotations

import gc
import mmap
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from jitad.lowering.llvm.emit import PARTS
from jitad.process import locks, waiting

# llvmlite lets one thread at a time into LLVM.
locks.hold_at_forks(llvm.ffi.lib._lock._lock)
# The first line of a module whose code is to be made quickly.
FAST = 'source_filename = "fast"\n'
# That of a module of plain loops over scalars, which LLVM itself is to improve.
THOROUGH = 'source_filename = "thorough"\n'
# Functions that are made for speed.
_FAST_CODE = re.compile(
    r"^define (?![^\n]*\b(?:optnone|alwaysinline)\b)[^@\n]*@([\w.$]+)\(", re.MULTILINE
)
# Of memory that a system still has to grant before code is put there: LLVM, when it is
# not granted what it asks for, ends the process.
_MAPS = 8
_BYTES = 1 << 16
_LONG = 1 << 18  # bytes of text that take a tenth of a second, at least


class Library:
    """The functions of a module.  Its code is freed with it."""

    def __init__(self, engine: llvm.ExecutionEngine) -> None:
        self._engine = engine

    def address(self, name: str) -> int:
        """Where a function is, as long as this library is."""
        return self._engine.get_function_address(name)

    def function(self, name: str, prototype: Any) -> Any:
        """A ctypes function of a prototype, which keeps the library."""
        made = prototype(self.address(name))
        made.library = self
        return made


def link(text: str) -> Library:
    """Compile a module, and put its code where it can run, as `load` does."""
    return load(object_code(text))


def object_code(text: str) -> bytes:
    """Compile a module, for this machine."""
    long = len(text) > _LONG
    return waiting.interruptibly(_code, text) if long else _code(text)


def load(code: bytes) -> Library:
    """Put object code where it can run; the functions that it calls must be known.

    Raises MemoryError where the system has no room for it.
    """
    need_room(len(code))
    with llvm.parse_assembly("") as nothing:
        engine = llvm.create_mcjit_compiler(nothing, _target_machine("", ""))
        engine.remove_module(nothing)
    with llvm.ObjectFileRef.from_data(code) as given:
        engine.add_object_file(given)
        engine.finalize_object()
    return Library(engine)


def _code(text: str) -> bytes:
    """The machine code of a module."""
    tools = _tools(text.startswith(FAST))
    with llvm.create_context() as context, llvm.parse_assembly(text, context) as module:
        return tools.machine.emit_object(tools.prepared(module, text))


def assembly(text: str) -> str:
    """The machine code of a module, as text."""
    tools = _tools(text.startswith(FAST))
    with llvm.create_context() as context, llvm.parse_assembly(text, context) as module:
        return tools.machine.emit_assembly(tools.prepared(module, text))


def shared(text: str, *names: str, link: Callable[[str], Library] = link) -> None:
    """Let all modules that are linked from now on call these functions of this one.

    Once in a process: the first name says whether it has been done.
    """
    with _SHARED.lock:
        if names[0] not in _SHARED.libraries:
            library = link(text)
            for name in names:
                llvm.add_symbol(name, library.address(name))
            _SHARED.libraries[names[0]] = library


def is_shared(name: str) -> bool:
    """Whether the module whose first function this is has been shared."""
    return name in _SHARED.libraries


def need_room(size: int) -> None:
    """Raise MemoryError where the system has no room for code of a size in bytes."""
    if _has_room(size):
        return
    gc.collect()
    if not _has_room(size):
        raise MemoryError(
            "expected room for the code of one more function, but the system grants "
            "this process no further memory maps; let functions go that are not called "
            "any more, or call the same functions with other arguments instead of "
            "making new ones (on Linux, vm.max_map_count says how many maps there are)"
        )


def _has_room(size: int) -> bool:
    maps: list[mmap.mmap] = []
    try:
        for _ in range(_MAPS):
            maps.append(mmap.mmap(-1, size + _BYTES))  # noqa: PERF401
    except OSError:
        return False
    finally:
        for given in maps:
            given.close()
    return True


@dataclass(frozen=True, slots=True)
class _Shared:
    """Libraries of functions that others call by name; never emptied."""

    libraries: dict[str, Library] = field(default_factory=dict)
    lock: Any = field(default_factory=locks.lock)


_SHARED = _Shared()


@dataclass(frozen=True, slots=True)
class _Tools:
    """What generates code.  llvmlite lets one thread at a time use them.

    Numba's own rounds of optimisation take as long again as generating the code, and
    vector code has no use for them, nor for LLVM's combining of instructions.  Common
    subexpressions appear only where functions are inlined, and are not looked for in
    functions that are compiled quickly: LLVM would say of each that it skips it.
    """

    machine: llvm.TargetMachine
    layout: str
    inline: Any
    simplify: Any
    improve: Any
    builder: Any
    thorough: bool

    def prepared(self, module: llvm.ModuleRef, text: str) -> llvm.ModuleRef:
        """The module of a text, for this machine, simplified."""
        module.triple, module.data_layout = llvm.get_process_triple(), self.layout
        module.verify()
        if text.startswith(THOROUGH):
            self.improve.run(module, self.builder)
        elif "alwaysinline" in text:
            self.inline.run(module, self.builder)
            if self.thorough and PARTS not in text:
                for name in _FAST_CODE.findall(text):
                    self.simplify.run(module.get_function(name), self.builder)
        return module


@cache
def _tools(fast: bool) -> _Tools:
    """What there is; fast: as little as possible is done for the speed of code."""
    features = llvm.get_host_cpu_features().flatten()
    machine = _target_machine(llvm.get_host_cpu_name(), features, 0 if fast else 3)
    # Made once: llvmlite never frees a pass manager.
    inline = llvm.create_new_module_pass_manager()
    inline.add_always_inliner_pass()
    simplify = llvm.create_new_function_pass_manager()
    simplify.add_new_gvn_pass()
    tuning = llvm.create_pipeline_tuning_options(speed_level=1)
    builder = llvm.create_pass_builder(machine, tuning)
    layout = str(machine.target_data)
    improve = llvm.create_new_module_pass_manager()
    improve.add_sroa_pass()
    improve.add_instruction_combine_pass()
    improve.add_simplify_cfg_pass()
    improve.add_loop_rotate_pass()
    improve.add_new_gvn_pass()
    improve.add_dead_store_elimination_pass()
    improve.add_instruction_combine_pass()
    improve.add_simplify_cfg_pass()
    return _Tools(machine, layout, inline, simplify, improve, builder, not fast)


def _target_machine(cpu: str, features: str, opt: int = 3) -> llvm.TargetMachine:
    """A machine for which code is generated as Numba does; an engine owns its own."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    reloc = "static" if target.name.startswith("x86") else "default"
    return target.create_target_machine(
        cpu, features, opt=opt, reloc=reloc, codemodel="jitdefault", jit=True
    )
