"""The package's admin tool: remote.py CONFIG METHOD [NAME=VALUE…]; prints the answer."""
import asyncio
import json
import sys

import aioconnectors
import common


async def main(path, method, *arguments):
    with open(path) as file:
        config = json.load(file)
    tool = aioconnectors.ConnectorRemoteTool(
        logger=common.logger(),
        is_server=config["is_server"],
        server_sockaddr=tuple(config["server_sockaddr"]),
        client_name=config.get("client_name"),
        **common.folders(path),
    )
    answer = await getattr(tool, method)(**dict(argument.split("=", 1) for argument in arguments))
    common.say("answer " + answer.decode())


asyncio.run(main(*sys.argv[1:]))
