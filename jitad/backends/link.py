"""LLVM text to functions in this process, by Numba's code generator.

Numba's linker keeps every symbol that it has seen: give no name twice.
"""

from __future__ import annotations

import llvmlite.binding as llvm
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target


class _Library(JITCodeLibrary):
    """A Numba library that skips the passes which vector code has no use for.

    Numba's own rounds of optimisation take as long again as generating the code.
    """

    def _optimize_functions(self, ll_module: llvm.ModuleRef) -> None:
        ll_module.data_layout = str(self._codegen.target_data)

    def _optimize_final_module(self) -> None:
        machine = self._codegen._tm
        tuning = llvm.create_pipeline_tuning_options(speed_level=1)
        passes = llvm.create_new_module_pass_manager()
        passes.add_always_inliner_pass()
        passes.add_instruction_combine_pass()
        passes.add_new_gvn_pass()
        passes.run(self._final_module, llvm.create_pass_builder(machine, tuning))


@global_compiler_lock
def link(text: str, library_name: str, names: dict[str, str]) -> JITCodeLibrary:
    """Compile and link a module; names: function in the text -> name in the process."""
    codegen = cpu_target.target_context.codegen()  # pyright: ignore
    library = _Library(codegen, library_name)
    module = llvm.parse_assembly(text)
    module.triple = llvm.get_process_triple()
    for old, new in names.items():
        module.get_function(old).name = new
    module.verify()
    library.add_llvm_module(module)
    library.finalize()
    return library
