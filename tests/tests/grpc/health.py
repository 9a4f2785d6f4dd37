"""Asks a server for its health, and watches it until the watch ends. Prints one line for each answer.

usage: health.py ADDRESS
"""
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

PATIENCE = 60


def main():
    # A router that listens on loopback must not be reached through a proxy.
    channel = grpc.insecure_channel(sys.argv[1], [("grpc.enable_http_proxy", 0)])
    stub = health_pb2_grpc.HealthStub(channel)
    name = health_pb2.HealthCheckResponse.ServingStatus.Name
    for service in ["", "envoy.service.auth.v3.Authorization", "nothing"]:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            outcome = name(stub.Check(request, timeout=PATIENCE).status)
        except grpc.RpcError as error:
            outcome = error.code().name
        print("check of %r: %s" % (service, outcome), flush=True)
    request = health_pb2.HealthCheckRequest(service="nothing")
    call = stub.Watch(request, timeout=PATIENCE)
    print("watch of 'nothing': %s" % name(next(call).status), flush=True)
    call.cancel()
    try:
        list_them = channel.unary_unary("/grpc.health.v1.Health/List")
        list_them(b"", timeout=PATIENCE)
    except grpc.RpcError as error:
        print("list: %s" % error.code().name, flush=True)
    try:
        for answer in stub.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE):
            print("watch: %s" % name(answer.status), flush=True)
    except grpc.RpcError as error:
        print("watch ended: %s" % error.code().name, flush=True)


main()
