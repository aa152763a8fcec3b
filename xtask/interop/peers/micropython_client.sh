#!/usr/bin/env bash
# `micropython_client.sh ADDRESS` sends the requests of MicroPython's example `http_client.py`, and of old versions of its
# module `requests`, which used HTTP/1.0. MicroPython cannot read chunks, so each body must have a Content-Length or end with
# the connection.
address=$1

# Sends a request, and expects a response with the same body: ask HEAD BODY.
ask() {
  local response
  exec {socket}<>"/dev/tcp/${address%:*}/${address##*:}" || exit
  printf '%b' "$1\r\n\r\n$2" >&"$socket"
  response=$(timeout 10 cat <&"$socket") || exit
  exec {socket}>&-
  if [[ $response != 'HTTP/1.1 200 '*"$2" || ${response,,} == *transfer-encoding* ]]; then
    echo "${1@Q} is answered with ${response@Q}" >&2
    exit 1
  fi
}

from='Host: 192.0.2.1\r\nConnection: close'
ask 'GET / HTTP/1.0' ''
ask "GET /hello HTTP/1.0\r\n$from" ''
ask "POST /echo HTTP/1.0\r\n$from\r\nContent-Type: application/json\r\nContent-Length: 8" '{"t": 4}'
echo 'with and without Host, are answered with 200'
