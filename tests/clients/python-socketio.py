"""What python-socketio.test.mjs runs: python-socketio.py KIND WAY URL. It ends with an error if a step fails."""

import asyncio
import logging
import sys

import socketio

CLIENTS = {"blocking": socketio.Client, "asyncio": socketio.AsyncClient}
WAYS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}
LIMIT = 20  # seconds for each step


class Client:
    """A client of either kind, as coroutines: calls of the blocking one run in threads."""

    def __init__(self, kind):
        self.log = logging.getLogger(f"client {id(self)}")
        self.log.setLevel(logging.INFO)
        self.log.propagate = False
        self.pongs = 0
        counter = logging.Handler()
        counter.emit = self._count
        self.log.addHandler(counter)
        self.socket = CLIENTS[kind](
            reconnection_delay=0.05, reconnection_delay_max=0.1, engineio_logger=self.log, handle_sigint=False
        )
        self.is_blocking = kind == "blocking"
        self.heard = asyncio.Queue()
        self.loop = asyncio.get_running_loop()
        self.socket.on("connect", lambda: self.hear("connect"))
        self.socket.on("disconnect", lambda reason: self.hear("disconnect"))
        self.socket.on("*", self.hear)

    def hear(self, *event):
        self.loop.call_soon_threadsafe(self.heard.put_nowait, event)

    def _count(self, record):
        self.pongs += record.getMessage().startswith("Sending packet PONG")

    async def run(self, method, *args, **options):
        step = asyncio.to_thread(method, *args, **options) if self.is_blocking else method(*args, **options)
        return await asyncio.wait_for(step, LIMIT)

    async def connect(self, url, way, **options):
        await self.run(self.socket.connect, url, transports=WAYS[way], **options)

    async def ask(self, event, data):
        return await self.run(self.socket.call, event, data, timeout=LIMIT)

    async def next(self, name):
        """The arguments of the next event with that name; fails if another one comes first."""
        event, *args = await asyncio.wait_for(self.heard.get(), LIMIT)
        assert event == name, (event, args)
        return args

    async def close(self):
        await self.run(self.socket.disconnect)


async def talk(a, b):
    """Join a room, and send messages and a signal from a to b."""
    for client in (a, b):
        assert await client.ask("join", {"room": "talk"}) == {}
    for message in [
        ["héllo 😀", {"list": [1, None, True]}, bytes([0, 1, 255])],
        ["nested", {"deep": {"bytes": bytes(range(256))}}],
        ["é" * 24_000],
        [bytes(40_000)],
    ]:
        await a.run(a.socket.emit, "message", tuple(message))
        heard = await b.next("message")
        assert heard == message, heard

    ids = [client.socket.get_sid() for client in (a, b)]
    assert await a.ask("signal", {"to": ids[1], "sdp": "v=0", "blob": b"\x07"}) == {}
    assert await b.next("signal") == [{"from": ids[0], "sdp": "v=0", "blob": b"\x07"}]
    assert await a.ask("signal", {"to": "nobody"}) == {"reason": "peer_not_found"}
    assert a.heard.empty(), "the sender heard itself"


async def main(kind, way, url):
    a, b = Client(kind), Client(kind)
    for client in (a, b):
        await client.connect(url, way)
        await client.next("connect")
        assert client.socket.transport() == ("polling" if way == "polling" else "websocket")
    await talk(a, b)

    # both are silent until the node has pinged them three times
    while min(a.pongs, b.pongs) < 3:
        await asyncio.sleep(0.01)
    assert a.socket.connected and b.socket.connected

    print("restart", flush=True)
    for client in (a, b):
        await client.next("disconnect")
        await client.next("connect")
    await talk(a, b)
    for client in (a, b):
        await client.close()

    stranger = Client(kind)
    stranger.socket.on("connect_error", lambda reason: stranger.hear("refused", reason), namespace="/nowhere")
    try:
        await stranger.connect(url, way, namespaces=["/nowhere"])
    except socketio.exceptions.ConnectionError:
        assert await stranger.next("refused") == [{"message": "Invalid namespace"}]
    else:
        raise AssertionError("an unknown namespace was joined")


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 3 * LIMIT))
