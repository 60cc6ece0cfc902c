-- Lmod: module use PREFIX/share/modulefiles && module load eigenscope. Finds the program relative to this file.
local prefix = myFileName():match("^(.*)/share/modulefiles/")
local share = pathJoin(prefix, "share/eigenscope")

help([[How the eigenspaces of neural network layers evolve during training.

eigenscope --help, man eigenscope and man eigenscope.yaml tell how to use it; jobs to begin with are in
$EIGENSCOPE_SHARE/jobs, and $EIGENSCOPE_SHARE/slurm/submit.sh submits a job as an array of SLURM.]])
whatis("Name: eigenscope")
whatis("Version: " .. myModuleVersion())
whatis("Description: eigenspaces of neural network layers during training")

conflict("eigenscope")
prepend_path("PATH", pathJoin(prefix, "bin"))
-- man searches beside the folders of PATH, unless MANPATH is set. Setting MANPATH here would hide all other pages.
if (os.getenv("MANPATH") or "") ~= "" then
  prepend_path("MANPATH", pathJoin(prefix, "share/man"))
end
setenv("EIGENSCOPE_SHARE", share)
prepend_path("PYTHONPATH", share) -- eigenscope_analysis
