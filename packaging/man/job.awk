# Makes eigenscope.yaml(5) from jobs/reference.yaml. Its lines are `key: default  # what it accepts; what it does`, more deeply
# indented under their sections; "#:" begins keys that cannot be used together with the others.
BEGIN {
  print ".\\\" Made by packaging/man/job.awk of jobs/reference.yaml."
  print ".Dd " date "\n.Dt EIGENSCOPE.YAML 5\n.Os"
  print ".Sh NAME\n.Nm eigenscope.yaml\n.Nd job file of eigenscope"
  print ".Sh DESCRIPTION"
  print "A job file describes a grid of networks, data and seeds,\nand what is measured.\nIt is YAML."
  print "The program refuses an unknown key, a value out of range or a missing dataset\nbefore it runs anything."
  print "The command line can set any key:\n.Bd -literal -offset indent\neigenscope run JOB --set train.epochs=2\n.Ed"
}

function quoted(text) {
  gsub(/\\/, "\\e", text)
  gsub(/"/, "\\(dq", text)
  return "\"" text "\""
}
function close_all() {
  if (in_list) print ".El"
  in_list = 0
}

# Paragraphs, and tables, which are indented.
function print_comments(i, text, literal) {
  if (in_list) print ".El\n.Pp"
  in_list = 0
  for (i = 1; i <= n_comments; i++) {
    if ((comment[i] ~ /^ /) != literal) print (literal ? ".Ed" : ".Bd -literal")
    literal = comment[i] ~ /^ /
    if (!literal) {
      say(comment[i])
      continue
    }
    text = substr(comment[i], 3)
    gsub(/\\/, "\\e", text)
    print guarded(text)
  }
  if (literal) print ".Ed"
  n_comments = 0
}

# Comments between sections belong to the section that follows. Comments before the first key are not in the manual page.
/^#/ && !/^#:/ {
  if (begun) comment[++n_comments] = substr($0, 3)
  next
}
/^ *$/ { next }
{
  begun = 1
  other = sub(/^#:/, "")
  if ($0 ~ /^ *- /) sub(/- /, "  ") # an item of a list is as deep as a key
  match($0, /^ */)
  depth = RLENGTH / 2
  line = substr($0, RLENGTH + 1)
  key = line
  sub(/:.*/, "", key)
  if (depth == 1 && (path[0] == "models" || path[0] == "datasets")) key = "NAME"
  path[depth] = key
  at = index(line, "  # ")
  if (at == 0) next
  name = path[0]
  for (i = 1; i <= depth; i++) name = name "." path[i]
  value = substr(line, 1, at - 1)
  sub(/^[^:]*: */, "", value)
  doc = substr(line, at + 4)
  required = sub(/^required: /, "", doc)
  cut = index(doc, "; ")
  if (path[0] != section && depth > 0) {
    close_all()
    section = path[0]
    print ".Ss " section
  }
  if (n_comments > 0) print_comments()
  if (!in_list) print ".Bl -tag -width Ds"
  in_list = 1
  print ".It Cm " name
  say(substr(doc, cut + 2) ".")
  said = doc ~ / default / # in words, as what stands there is an example
  say("Value: " substr(doc, 1, cut - 1) (required ? "; required." : other || said ? "." : "; default"))
  if (!required && !other && !said) print ".Li " quoted(value) " ."
  if (!required && other) print "For example\n.Li " quoted(value) " ."
}

END {
  close_all()
  print ".Sh SEE ALSO\n.Xr eigenscope 1"
}
