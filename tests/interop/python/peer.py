"""A connector of the Python package: peer.py CONFIG [tls1.2]"""
import asyncio
import asyncio.sslproto
import ssl
import sys

import aioconnectors
import common

# With a limit of 0, which the package sets, asyncio's TLS transport may never resume a writer that it has paused, and the
# connector stalls for its whole send timeout whenever both directions carry traffic.
asyncio.sslproto._SSLProtocolTransport.set_write_buffer_limits = lambda self, high=None, low=None: None


class SslOf12:
    """The module `ssl`, whose contexts know TLS 1.2 at most."""

    def __getattr__(self, name):
        return getattr(ssl, name)

    def SSLContext(self, protocol):
        context = ssl.SSLContext(protocol)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context


async def main(path):
    folders = common.folders(path)
    manager = aioconnectors.ConnectorManager(
        config_file_path=path,
        logger=common.logger(),
        certificates_directory_path=folders["connector_files_dirpath"],
        tokens_directory_path=folders["connector_files_dirpath"],
        **folders,
    )
    await manager.start_connector()
    await asyncio.Event().wait()


if "tls1.2" in sys.argv:
    aioconnectors.core.ssl = SslOf12()
asyncio.run(main(sys.argv[1]))
