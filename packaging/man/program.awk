# eigenscope(1) from `eigenscope --help=records`.
BEGIN {
  FS = "\t"
  print ".\\\" Made by packaging/man/program.awk of what the program says of itself."
  print ".Dd " date "\n.Dt EIGENSCOPE 1\n.Os"
  print ".Sh NAME\n.Nm eigenscope\n.Nd measure how the eigenspaces of neural network layers evolve during training"
  print ".Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar arguments\n.Nm\n.Ar command\n.Fl -help\n.Nm\n.Fl -version\n.Op Fl -verbose"
  print ".Sh DESCRIPTION"
}

function close_list() {
  if (open_list) print ".El"
  open_list = 0
}
function close_literal() {
  if (open_literal) print ".Ed"
  open_literal = 0
}
function heading(text) {
  close_list()
  close_literal()
  print ".Sh " text
}

$1 == "about" { say($2) }
$1 == "command" {
  if (!commands++) print ".Pp\nThe commands are:\n.Bl -tag -width Ds"
  print ".It Cm " $2 ($3 ~ /^[A-Z]+$/ ? " Ar " $3 : "")
  say($4)
  open_list = 1
}
$1 == "exit" { codes[$2] = $3; n_codes++ }
$1 == "page" {
  if (!pages++) {
    print ".El"
    open_list = 0
    heading("COMMANDS")
  }
  close_list()
  close_literal()
  print ".Ss " ($2 ~ /^--/ ? "Fl " substr($2, 2) : $2)
}
$1 == "usage" {
  if (!open_literal) print ".Bd -literal -offset indent"
  open_literal = 1
  print guarded($2)
}
$1 == "text" {
  if (open_literal) {
    close_literal()
    print ".Pp"
  }
  if ($2 == "") print ".Pp"
  else say($2)
}
$1 == "option" {
  close_literal()
  if (!open_list) print ".Bl -tag -width Ds"
  open_list = 1
  print ".It Fl " substr($2, 2) ($3 != "" ? " Ar " $3 : "")
  say($4)
}

END {
  heading("ENVIRONMENT")
  print ".Bl -tag -width Ds"
  print ".It Ev EIGENSCOPE_PYTHON\nPython program that\n.Cm report\nuses."
  print ".It Ev EIGENSCOPE_ANALYSIS\nfolder of the package\n.Pa eigenscope_analysis ;\nthe default is the package that was installed with the program."
  print ".It Ev OPENBLAS_CORETYPE\nthe kernels that OpenBLAS uses.\nIf this variable is not set,\nthe program sets it where OpenBLAS would choose slow kernels."
  print ".It Ev TMPDIR\nfolder for the temporary files of\n.Cm bench train ."
  print ".El"
  heading("FILES")
  print "These files are installed in\n.Pa ../share/eigenscope ,\nrelative to the folder of the program:"
  print ".Bl -tag -width Ds"
  print ".It Pa jobs/\nexample job files;\n.Pa jobs/reference.yaml\nlists every key."
  print ".It Pa slurm/submit.sh , slurm/resubmit.sh\nsubmit a job as a SLURM array;\nsubmit its missing points again."
  print ".It Pa convert_checkpoint.py , dump_activations.py , export_network.py\nexchange weights, activations and networks with PyTorch."
  print ".El\n.Pp"
  print "Results are in the folder\n.Pa points/\nof the job's output folder: one netCDF-4 file for each point."
  heading("EXIT STATUS")
  print ".Bl -tag -width Ds"
  for (i = 0; i < n_codes; i++) {
    print ".It " i
    say(codes[i])
  }
  print ".El"
  heading("EXAMPLES")
  print ".Bd -literal -offset indent"
  print "eigenscope plan job.yaml"
  print "mpirun -n 2 eigenscope run job.yaml"
  print "eigenscope status job.yaml"
  print "eigenscope merge job.yaml --to all.h5"
  print "eigenscope report all.h5 --to report"
  print ".Ed"
  heading("SEE ALSO")
  print ".Xr eigenscope.yaml 5"
}
