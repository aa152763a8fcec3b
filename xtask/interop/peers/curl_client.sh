#!/usr/bin/env bash
# curl: `curl_client.sh FILES ADDRESS` performs the exchanges with our server.
files=$1 address=$2 connections=()
case $address in
  unix:@*) connections=(--abstract-unix-socket "${address#unix:@}") host=localhost ;;
  unix:*) connections=(--unix-socket "${address#unix:}") host=localhost ;;
  *) host=$address ;;
esac

# Requests a target, with options. `--globoff` makes curl accept the brackets of IPv6. `--disable` ignores the user's file of
# options.
ask() {
  curl --disable --silent --show-error --globoff --noproxy '*' --max-time 30 "${connections[@]}" "${@:2}" "http://$host$1"
}

same() {
  if [ "$1" != "$2" ]; then echo "${1@Q} instead of ${2@Q}" && return 1; fi
}

has() {
  if [[ $1 != *"$2"* ]]; then echo "there is no ${2@Q} in ${1@Q}" && return 1; fi
}

try_get() { same "$(ask /hello)" 'hello, world'; }
try_head() { has "$(ask /hello --head)" 'content-length: 12'; }
try_post() { same "$(ask /echo --data-binary 'some text')" 'some text'; }
try_close() { has "$(ask /hello --include --header 'connection: close')" 'connection: close'; }
try_404() { has "$(ask /missing --include)" 'HTTP/1.1 404 '; }

try_chunked() {
  local response
  response=$(ask /echo --include --header 'transfer-encoding: chunked' --data-binary 'some text')
  has "$response" 'transfer-encoding: chunked' && has "$response" $'\r\n\r\nsome text'
}

try_large() {
  ask /large | cmp - "$files/large" &&
    # curl sends `expect: 100-continue` with larger bodies. This body is just too small, so the field is set here.
    ask /echo --header 'expect: 100-continue' --data-binary "@$files/large" | cmp - "$files/large" &&
    ask /echo --header 'transfer-encoding: chunked' --data-binary "@$files/large" | cmp - "$files/large"
}

try_keep-alive() {
  same "$(ask /requests --write-out ',%{num_connects},' "http://$host/hello" "http://$host/requests")" 'hello, world,1,2,0,3,0,'
}

try_chunks() {
  local response
  response=$(ask /chunks --include)
  has "$response" 'transfer-encoding: chunked' && has "$response" $'\r\n\r\nonetwothree'
}

for exchange in get head post chunked large keep-alive close 404 chunks; do
  if [[ $exchange == keep-alive && $address == unix:@* ]]; then
    # curl does not reuse such a connection, because curl believes that the name is still being resolved.
    echo 'keep-alive skipped curl keeps no connection to an abstract socket'
  elif said=$("try_$exchange" 2>&1); then
    echo "$exchange ok"
  else
    echo "$exchange failed $(tail -n 1 <<<"$said")"
  fi
done
echo 'extensions skipped curl drops them'
