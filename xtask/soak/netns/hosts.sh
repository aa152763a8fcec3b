#!/usr/bin/env bash
# Tests client and server between two hosts: over link-local addresses, on a bad network, and when the network fails.
#
# usage: hosts.sh PROGRAM, as root of a network, mount and pid namespace. All processes and devices of the test end with it.
#
# Two network namespaces stand for the hosts, and a third one for the switch between them. The client names the server by
# `[fe80::2%veth0]`, with the zone by name and by number. Then packets are lost, delayed and reordered: by netem if the
# kernel has it, otherwise by cable.py, which needs Python. Then both cables are pulled in the middle of bodies. The client
# must return an error within its timeout, and the server must end the exchange within its deadline. The script needs `ip` and
# `tc` of iproute2.
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

# Connects a host to the switch. The host gets only a link-local address, and skips the search for duplicates (nodad).
cable() {
  on switch ip link add "$2" type veth peer name veth0 netns "$1"
  on switch ip link set "$2" master br0
  on switch ip link set "$2" up
  on "$1" ip link set veth0 addrgenmode none
  on "$1" ip link set veth0 up
  on "$1" ip address add "$3/64" dev veth0 nodad
}

# Sets a property of both cables at the switch: `up`, `down`, `master br0` or `nomaster`.
ports() {
  on switch ip link set port1 $1
  on switch ip link set port2 $1
}

# Checks the time at which an exchange ended: WHAT TIME. Client and server wait for 2 s (LIMIT in netns.rs), so this time must
# be at least 1 s after the cables were pulled. 30 s are enough for a busy machine; without LIMIT the exchange would last for
# minutes.
within() {
  local took=$(($2 - pulled))
  if [ "$took" -lt 1000 ] || [ "$took" -gt 30000 ]; then fail "$1: $took ms after the pull, expected 1000 to 30000 ms"; fi
  echo "cables pulled: $1: after $took ms"
}

mount -t tmpfs none /run
for host in client server switch; do ip netns add "$host"; done
on switch ip link add br0 type bridge mcast_snooping 0
on switch ip link set br0 up
cable client port1 fe80::1
cable server port2 fe80::2

coproc nsenter --net=/run/netns/server "$program" server '[fe80::2%veth0]:0'
read -r -t 60 _ _ address <&"${COPROC[0]}" || fail 'the server does not listen'
echo "the server listens on $address"
port=${address##*:}
for zone in "$(on client ip -oneline link show veth0 | cut -d: -f1)" veth0; do
  address="[fe80::2%$zone]:$port"
  on client "$program" exchanges "$address"
  echo "exchanges with $address: as they should be"
done

# 2 % of the packets are lost. Three quarters of the others are delayed, so the packets that are not delayed overtake them.
bad='root netem loss 2% delay 5ms 2ms reorder 25% 50%' what=netem cable=''
if ! { on client tc qdisc add dev veth0 $bad && on server tc qdisc add dev veth0 $bad; } 2>/dev/null; then
  if command -v python3 >/dev/null; then
    what='cable.py'
    ports nomaster
    nsenter --net=/run/netns/switch python3 "$here/cable.py" port1 port2 < <(sleep 600) >/run/cable &
    cable=$!
    until grep -q ready /run/cable; do sleep 0.05; done
  else
    what=''
    echo '-- skipped: loss, delay and reordering: neither netem nor Python is available'
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

stalls=() ends=()
for way in upload download; do
  for client in async blocking; do
    on client "$program" stall "$way" "$client" "$address" >"/run/$way-$client" &
    stalls+=($!)
    until grep -q begun "/run/$way-$client"; do sleep 0.05; done
  done
done
# After this pause, the exchanges run at full speed.
sleep 0.3
pulled=$(date +%s%3N)
ports down
wait "${stalls[@]}"
for way in upload download; do
  for client in async blocking; do
    read -r ended error < <(tail -n 1 "/run/$way-$client")
    within "$way $client ($error)" "$ended"
  done
done
for number in 1 2 3 4; do
  ended=0
  while [ "$ended" -lt "$pulled" ]; do
    read -r -t 60 target ended <&"${COPROC[0]}" || fail "the server has reported the end of only $((number - 1)) of 4 exchanges"
  done
  case $target in
    /discard) way=upload ;;
    /endless) way=download ;;
    *) fail "the server reports $target" ;;
  esac
  ends+=("$way")
  within "$way, server" "$ended"
done
if [ "$(printf '%s\n' "${ends[@]}" | sort | uniq -c | tr -s ' \n' ' ')" != ' 2 download 2 upload ' ]; then
  fail "the exchanges that ended for the server: ${ends[*]}"
fi
