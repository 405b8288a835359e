"""Subcommands of ``ot-solvers``, written against the public API only.

One module per subcommand (`solve`, `fit_map`, `apply_map`, `transfer`, `demo`, `info`), each with
``run(args) -> exit code``, and what they share: the command line (`parser`, `map_options`, `options`), what the
user sees (`console`, `plots`, `map_plots`), arrays, samples and pictures on disk (`files`, `samples`, `images`),
maps from samples (`map_fits`), colours (`colour`, `palette`, `smoothing`), Ctrl-C (`interruption`), `errors`.
"""
