#!/bin/sh
# Makes the files for the example `mtls`: two folders, FOLDER/a and FOLDER/b. Each has the certificate and the key of
# one device, the CA of the other device, and the revocation list of that CA, which is empty.
set -eu
[ $# = 1 ] || { echo 'usage: mtls.sh FOLDER' >&2; exit 2; }
mkdir -p "$1"
cd "$1"

cat >openssl.cnf <<'CONFIG'
[req]
distinguished_name = none
[none]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[ca]
default_ca = lists
[lists]
database = index
crlnumber = number
default_md = sha256
crl_extensions = list
[list]
authorityKeyIdentifier = keyid
CONFIG
key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'

for device in a b; do
  mkdir -p ca-$device $device
  openssl req -config openssl.cnf -x509 $key -days 3650 -subj "/CN=ca-$device" -extensions authority \
    -keyout ca-$device/ca.key -out ca-$device/ca.pem
  openssl req -config openssl.cnf -new $key -subj "/CN=device-$device" \
    -keyout $device/device.key -out ca-$device/device.csr
  # Each device may be the server or the client.
  cat >ca-$device/device.ext <<EXTENSIONS
basicConstraints = CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:device-$device.example
authorityKeyIdentifier = keyid
EXTENSIONS
  openssl x509 -req -sha256 -in ca-$device/device.csr -CA ca-$device/ca.pem -CAkey ca-$device/ca.key -CAcreateserial \
    -days 365 -extfile ca-$device/device.ext -out $device/device.pem
  : >index
  echo 01 >number
  openssl ca -config openssl.cnf -gencrl -cert ca-$device/ca.pem -keyfile ca-$device/ca.key -crldays 365 \
    -out ca-$device/ca.crl
done
# Each device gets the CA of the other device. The keys of the CAs belong on no device.
for pair in 'a b' 'b a'; do
  set -- $pair
  cp "ca-$1/ca.pem" "$2/peers.pem"
  cp "ca-$1/ca.crl" "$2/peers.crl"
done
