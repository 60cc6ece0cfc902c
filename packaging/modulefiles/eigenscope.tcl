#%Module1.0
# Environment Modules: module use PREFIX/share/modulefiles && module load eigenscope. Finds the program relative to
# this file. (Lmod uses eigenscope.lua in the same folder.)
set prefix [file dirname [file dirname [file dirname [file dirname [file normalize $ModulesCurrentModulefile]]]]]

proc ModulesHelp {} {
    puts stderr {How the eigenspaces of neural network layers evolve during training.

eigenscope --help, man eigenscope and man eigenscope.yaml tell how to use it; jobs to begin with are in
$EIGENSCOPE_SHARE/jobs, and $EIGENSCOPE_SHARE/slurm/submit.sh submits a job as an array of SLURM.}
}
module-whatis "eigenspaces of neural network layers during training"

conflict eigenscope
prepend-path PATH $prefix/bin
# man searches beside the folders of PATH, unless MANPATH is set. Setting MANPATH here would hide all other pages.
if {[info exists env(MANPATH)] && $env(MANPATH) ne ""} {
    prepend-path MANPATH $prefix/share/man
}
setenv EIGENSCOPE_SHARE $prefix/share/eigenscope
prepend-path PYTHONPATH $prefix/share/eigenscope ;# eigenscope_analysis
