#!/usr/bin/env bash
# Does it work between two hosts, over link-local addresses, on a bad network, and without one?
#
# usage: hosts.sh PROGRAM, as root of a network, mount and pid namespace, with which everything here ends
#
# Two network namespaces stand for the hosts, a third one for the switch between them. The client names the server by
# `[fe80::2%veth0]`, with the zone by name and by number. Then packets are lost, late and out of order: by netem where the
# kernel has it, otherwise by a program between the cables, which needs Python. Then the cables are pulled in the middle of
# a body: the client must have its error within its timeout, and the server must have given the exchange up within its
# deadline. Needs `ip` and `tc` of iproute2.
set -euo pipefail
program=$1 here=$(dirname "$0")

fail() {
  echo "$*" >&2
  exit 1
}

# Runs a command on a host.
on() {
  local host=$1
  shift
  nsenter --net="/run/netns/$host" "$@"
}

# Connects a host to the switch. It has a link-local address and nothing else, at once: nobody else could have it.
cable() {
  on switch ip link add "$2" type veth peer name veth0 netns "$1"
  on switch ip link set "$2" master br0
  on switch ip link set "$2" up
  on "$1" ip link set veth0 addrgenmode none
  on "$1" ip link set veth0 up
  on "$1" ip address add "$3/64" dev veth0 nodad
}

# Both cables at the switch: `up`, `down`, `master br0` or `nomaster`.
ports() {
  on switch ip link set port1 $1
  on switch ip link set port2 $1
}

# Checks that it took as long as both ends wait (2 s, as main.rs has it), and not much longer. The last bytes may have got
# on a little before they were waited for.
within() {
  if [ "$2" -lt 1000 ] || [ "$2" -gt "$3" ]; then fail "$1: $2 ms after the last byte, not within 1000 and $3"; fi
  echo "cables pulled: $1: after $2 ms"
}

mount -t tmpfs none /run
for host in client server switch; do ip netns add "$host"; done
on switch ip link add br0 type bridge mcast_snooping 0
on switch ip link set br0 up
cable client port1 fe80::1
cable server port2 fe80::2

coproc nsenter --net=/run/netns/server "$program" server '[fe80::2%veth0]:0'
read -r -t 10 _ _ address <&"${COPROC[0]}" || fail 'the server does not listen'
echo "the server listens on $address"
port=${address##*:}
for zone in "$(on client ip -oneline link show veth0 | cut -d: -f1)" veth0; do
  address="[fe80::2%$zone]:$port"
  on client "$program" exchanges "$address"
  echo "exchanges with $address: as they should be"
done

# 2 % of the packets are lost, three quarters of the others are late, and so overtaken by the rest.
bad='root netem loss 2% delay 5ms 2ms reorder 25% 50%' what=netem cable=''
if ! { on client tc qdisc add dev veth0 $bad && on server tc qdisc add dev veth0 $bad; } 2>/dev/null; then
  if command -v python3 >/dev/null; then
    what='a cable of ours'
    ports nomaster
    nsenter --net=/run/netns/switch python3 "$here/cable.py" port1 port2 < <(sleep 600) >/run/cable &
    cable=$!
    until grep -q ready /run/cable; do sleep 0.05; done
  else
    what=''
    echo '-- skipped: loss, delay and reordering: there is neither netem nor Python'
  fi
fi
if [ -n "$what" ]; then
  on client "$program" exchanges "$address"
  echo "exchanges with packets lost, late and out of order ($what): as they should be"
fi
if [ -n "$cable" ]; then
  kill "$cable"
  ports 'master br0'
elif [ -n "$what" ]; then
  for host in client server; do on "$host" tc qdisc del dev veth0 root; done
fi

stalls=()
for way in upload download; do
  for client in async blocking; do
    on client "$program" stall "$way" "$client" "$address" >"/run/$way-$client" &
    stalls+=($!)
    until grep -q begun "/run/$way-$client"; do sleep 0.05; done
  done
done
# They are at full speed.
sleep 0.3
ports down
wait "${stalls[@]}"
for way in upload download; do
  for client in async blocking; do
    read -r took error < <(tail -n 1 "/run/$way-$client")
    within "$way $client ($error)" "$took" 3500
  done
done
# The server may need longer: it notices at the end of the first window in which too little came, and that window may have
# begun just before; each is late by up to a second.
sleep 5.5
ports up
on client "$program" last "$address" >/run/last
for way in upload download; do
  if [ "$(grep -c "^$way" /run/last)" != 2 ]; then fail "not 2 exchanges have ended for the server: $(cat /run/last)"; fi
done
while read -r way took; do if [ -n "$way" ]; then within "$way, server" "$took" 7500; fi; done </run/last
