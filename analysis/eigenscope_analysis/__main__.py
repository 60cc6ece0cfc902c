"""python3 -m eigenscope_analysis report SWEEP.h5 --to report/, watch JOB.yaml --to report/, compare A.h5 B.h5, from-phdlab config.json"""
import argparse
import sys

NEEDED = {"h5py": "python3-h5py", "h5netcdf": "python3-h5netcdf", "jinja2": "python3-jinja2", "matplotlib": "python3-matplotlib",
          "numpy": "python3-numpy", "pandas": "python3-pandas", "xarray": "python3-xarray"}


def report(options):
    from . import report as module
    print(f"wrote {module.write(options.sweep, options.to, options.similarity)}")
    return 0


def watch(options):
    from . import watch as module
    return module.run(options.program, options.job, options.to, options.every, options.arguments)


def export(options):
    from . import crate
    return crate.write(options.program, options.job, options.ro_crate, options.arguments, options.license, options.author)


def check_crate(options):
    from . import crate
    return crate.check(options.crate)


def compare(options):
    from . import compare as module
    return module.run(options.a, options.b, rtol=options.rtol, atol=options.atol, point=options.point,
                      delta=options.delta, to=options.to, choose=(options.of_a, options.of_b), csv=options.format == "csv")


def early(options):
    from . import early as module
    return module.run(options.sweep)


def from_phdlab(options):
    from . import phdlab
    configs = phdlab.collection(options.config)
    if configs is not None:
        rows = phdlab.convert_all(options.config, configs)
        for name, job, _ in rows if options.to is not None else ():
            if job is not None:
                phdlab.save(f"{options.to}/{name.removesuffix('.json')}.yaml", job)
        sys.stdout.write(phdlab.summary(rows))
        return 0 if all(job is not None for _, job, _ in rows) else 2
    text = phdlab.convert(options.config)
    if options.to is None:
        sys.stdout.write(text)
    else:
        phdlab.save(options.to, text)
    return 0


class Parser(argparse.ArgumentParser):
    """Wrong usage exits with code 1, as in the program."""

    def error(self, message):
        print(f"eigenscope_analysis: {message}; usage: {' '.join(self.format_usage().split()[1:])}", file=sys.stderr)
        sys.exit(1)


def parser():
    top = Parser(prog="eigenscope_analysis", description="Makes figures, tables and findings from results of eigenscope.")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    p = commands.add_parser("report", help="writes one page with the figures, tables and findings of a file",
                            description="Writes FOLDER/index.html, what this page loads (page/ and data/), figures/*.svg, *.png and *.csv, and tables/*.csv.")
    p.add_argument("sweep", metavar="SWEEP.h5", help="a file that `eigenscope merge` wrote, or the file of one point")
    p.add_argument("--to", metavar="FOLDER", required=True, help="the folder of the report; files of an earlier report are replaced")
    p.add_argument("--similarity", metavar="FILE.h5", action="append", default=[],
                   help="a file of `eigenscope similarity --to` about points of the sweep, to show; may be repeated")
    p.set_defaults(run=report)
    p = commands.add_parser("watch", help="keeps the report of a job up to date while the job runs",
                            description="Writes the report of the points that have a result, and what runs at present, until each point has "
                                        "a result. Exit code: that of `eigenscope status`.")
    p.add_argument("job", metavar="JOB.yaml", help="the job file")
    p.add_argument("arguments", metavar="OPTION", nargs="*", help="options of `status` and `merge`: --output DIR, --set KEY=VALUE")
    p.add_argument("--to", metavar="FOLDER", required=True, help="the folder of the report")
    p.add_argument("--every", metavar="S", type=float, default=10.0, help="seconds between two looks (default %(default)g)")
    p.add_argument("--program", default="eigenscope", help="the program (default: %(default)s on the path)")
    p.set_defaults(run=watch)
    p = commands.add_parser("export", help="packs a job, its results, versions and checksums as an RO-Crate",
                            description="Exit code: that of `eigenscope status`.")
    p.add_argument("job", metavar="JOB.yaml", help="the job file")
    p.add_argument("arguments", metavar="OPTION", nargs="*", help="options of `status` and `merge`: --output DIR, --set KEY=VALUE")
    p.add_argument("--ro-crate", metavar="FOLDER|FILE.zip", required=True, help="the crate to write; must not exist")
    p.add_argument("--license", metavar="URL|SPDX", help="licence of the data: a URL or an SPDX id")
    p.add_argument("--author", metavar="NAME", action="append", default=[], help="author of the data; may be repeated")
    p.add_argument("--program", default="eigenscope", help="the program (default: %(default)s on the path)")
    p.set_defaults(run=export)
    p = commands.add_parser("check-crate", help="compares the files of an RO-Crate with its checksums",
                            description="Names each file that has changed, is missing or is not listed. Exit code: 0, or 2 if there is one.")
    p.add_argument("crate", metavar="FOLDER|FILE.zip", help="a crate that `export` wrote")
    p.set_defaults(run=check_crate)
    p = commands.add_parser("compare", help="lists the differences of two result files beyond a tolerance",
                            description="Compares points with the same id. Files without common ids hold points of other settings: each "
                                        "is compared with the point that is equal in all other axes, and the differences of saturation "
                                        "are shown by layer and epoch. Exit code: 0 if no number differs beyond the tolerance, 2 if one "
                                        "does, 1 if the files cannot be compared.")
    p.add_argument("a", metavar="A", help="a merged file or the file of one point")
    p.add_argument("b", metavar="B", help="a second such file, or a CSV that delve wrote")
    p.add_argument("--rtol", type=float, default=1e-6, help="relative tolerance (default %(default)g)")
    p.add_argument("--atol", type=float, default=1e-9, help="absolute tolerance (default %(default)g)")
    p.add_argument("--point", type=int, help="number of the point to compare with a CSV of delve")
    p.add_argument("--delta", type=float, help="the delta of the saturations that are shown, or that delve had (default: 0.99 if it was "
                                                    "measured, else the largest)")
    p.add_argument("--to", metavar="FILE.csv", help="writes the table of differences to this file")
    p.add_argument("--format", choices=("table", "csv"), default="table", help="csv prints what --to writes (default %(default)s)")
    for side in "ab":
        p.add_argument(f"--{side}", metavar="AXIS=VALUE", dest=f"of_{side}", action="append", default=[],
                       help=f"only the points of {side.upper()} with this value, as width=1/4; may be repeated")
    p.set_defaults(run=compare)
    p = commands.add_parser("early", help="says if it is visible early that a wider network would be more accurate",
                            description="Prints error rates of rules on one number after k epochs, fitted on one dataset and tested on the "
                                        "others. Exit code: 0, or 2 if the file does not decide it.")
    p.add_argument("sweep", metavar="SWEEP.h5", help="a merged file with several datasets, widths and seeds")
    p.set_defaults(run=early)
    p = commands.add_parser("from-phdlab", help="the job file for a config.json of the authors' phd-lab",
                            description="Converts one configuration; or all in a folder or a tar archive, and lists which convert and why "
                                        "the others do not. Exit code: 0 if all convert, 2 if some of a folder do not, 1 if the one does not.")
    p.add_argument("config", metavar="config.json", help="a configuration, a folder or a tar archive of them")
    p.add_argument("--to", metavar="JOB.yaml", help="the job file (default: standard output); of a folder or an archive: a folder to write "
                                                    "the job files into (default: only list)")
    p.set_defaults(run=from_phdlab)
    return top


def main(arguments=None):
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except ModuleNotFoundError as error:
        name = (error.name or "").split(".")[0]
        if name not in NEEDED:
            raise
        print(f"eigenscope_analysis: Python's {name} is missing; install it ({NEEDED[name]} in Debian, {name} elsewhere)",
              file=sys.stderr)
    except ValueError as error:  # includes SchemaError: sentences for the user
        if type(error).__module__ == "builtins":
            raise
        print(f"eigenscope_analysis: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"eigenscope_analysis: {f'{error.filename}: {error.strerror}' if error.filename else error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
