"""A gRPC client that knows no service: calls come in, replies go out.

    python3 grpc_client.py TARGET

Reads a call a line from standard input, {"path", "stream", "metadata",
"message"}, and prints a reply a line, {"code", "details", "initial",
"trailing", "message"}. Messages are bytes in base64. Of a stream the reply is
its first message, after which the call is cancelled. To {"xds"} the reply is a
list of what the client has over xDS, {"type_url", "name", "status", "version",
"error"}.
"""

import base64
import json
import sys

import grpc

LIMIT = 20  # seconds for a call


def pairs(metadata):
    """Metadata as JSON has it, without binary values."""
    return {name: value for name, value in metadata or () if isinstance(value, str)}


def reply(code, details, initial, trailing, message=None):
    message = None if message is None else base64.b64encode(message).decode()
    return {
        "code": code.name,
        "details": details or "",
        "initial": pairs(initial),
        "trailing": pairs(trailing),
        "message": message,
    }


def unary(channel, path, message, metadata):
    method = channel.unary_unary(path)
    answer, call = method.with_call(message, metadata=metadata, timeout=LIMIT)
    metadata = (call.initial_metadata(), call.trailing_metadata())
    return reply(call.code(), call.details(), *metadata, answer)


def first_of_stream(channel, path, message, metadata):
    call = channel.unary_stream(path)(message, metadata=metadata, timeout=LIMIT)
    answer = next(call)
    initial = call.initial_metadata()
    call.cancel()
    return reply(grpc.StatusCode.OK, "", initial, (), answer)


def xds():
    # Takes a second to load, and only proxyless clients need it.
    from envoy.admin.v3.config_dump_shared_pb2 import ClientResourceStatus
    from grpc_csds import ClientStatusDiscoveryServiceServicer

    dump = ClientStatusDiscoveryServiceServicer.FetchClientStatus(None, None)
    return [
        {
            "type_url": resource.type_url,
            "name": resource.name,
            "status": ClientResourceStatus.Name(resource.client_status),
            "version": resource.version_info,
            "error": resource.error_state.details,
        }
        for client in dump.config
        for resource in client.generic_xds_configs
    ]


def main():
    with grpc.insecure_channel(sys.argv[1]) as channel:
        for line in sys.stdin:
            call = json.loads(line)
            if "xds" in call:
                print(json.dumps(xds()), flush=True)
                continue
            send = first_of_stream if call["stream"] else unary
            message = base64.b64decode(call["message"])
            metadata = [tuple(pair) for pair in call["metadata"]]
            try:
                result = send(channel, call["path"], message, metadata)
            except grpc.RpcError as error:
                metadata = (error.initial_metadata(), error.trailing_metadata())
                result = reply(error.code(), error.details(), *metadata)
            print(json.dumps(result), flush=True)


main()
