"""A script that speaks Airlock's wire protocol, version 1, with nothing but Python's standard library."""
import json, os, socket, struct, threading

OUTPUT, WARNING, HELLO, SECRET, END, START = 0x01, 0x03, 0x10, 0x11, 0x12, 0x20
host = socket.socket(fileno=3)
os.set_inheritable(3, False)  # no child process gets it


def send(kind, payload):
    if not isinstance(payload, bytes):
        payload = json.dumps(payload).encode()
    host.sendall(struct.pack(">IB", len(payload) + 1, kind) + payload)


def exactly(n):
    data = b""
    while len(data) < n:
        part = host.recv(n - len(data))
        if not part:
            raise EOFError("the host has gone")
        data += part
    return data


def receive():
    length, kind = struct.unpack(">IB", exactly(5))
    return kind, json.loads(exactly(length - 1))


send(HELLO, {"protocols": [1], "sdk": "minimal.py"})
kind, start = receive()
if kind != START or start["protocol"] != 1:
    raise SystemExit("the host speaks another version of the protocol")
canceled = threading.Event()


def listen():  # a Cancel, or the end of the connection: both mean that the work ends
    try:
        receive()
    except (EOFError, OSError):
        pass
    canceled.set()


threading.Thread(target=listen, daemon=True).start()

arguments = {name.lower(): a for name, a in start["parameters"].items()}
send(OUTPUT, ("running %s for %s" % (start["cmdlet"], arguments["who"]["value"])).encode())
if arguments.get("wait", {}).get("value", "").lower() == "true":
    canceled.wait()
    send(END, {"failure": "the script was asked to end"})
elif "token" in start["persistentSecrets"]:
    send(WARNING, b"the token is kept from last time")
    send(END, {"namedOutputs": {"who": arguments["who"]["value"]}})
else:
    send(SECRET, {"name": "token", "value": "made by a script"})
    send(END, {})
