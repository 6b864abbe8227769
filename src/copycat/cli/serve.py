"""`copycat serve`: serve runs over HTTP."""

from collections.abc import Sequence

from copycat.cli.app import open_served
from copycat.cli.arguments import add_served_runs, make_parser, whole_number


def run(words: Sequence[str]) -> None:
    """Serve the endpoint and the page until Ctrl-C or SIGTERM."""
    parser = make_parser("serve")
    add_served_runs(parser)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to serve on; 0.0.0.0: all of them (default: 127.0.0.1)")
    add("--port", type=whole_number(65535), default=8000, help="port to serve on; 0: any free port (default: 8000)")
    arguments = parser.parse_args(words)
    runs = open_served(arguments)
    from copycat.deploy.app import serve

    serve(runs, host=arguments.host, port=arguments.port)
