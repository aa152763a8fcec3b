#!/usr/bin/env bash
# Installs the missing peers of `cargo xtask interop`: Debian's packages with apt-get, as root, and packages of PyPI and npm into a
# folder. Needs the network.
#
# usage: install.sh FOLDER
folder=$1
failed=()

# Installs a package of Debian unless its program is installed: debian PROGRAM PACKAGE.
debian() {
  if ! PATH=$PATH:/usr/sbin command -v "$1" >/dev/null; then
    # In runlevel 1, Debian starts no service of a package that it installs.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$2" >/dev/null || failed+=("$2")
  fi
}

# Installs packages of PyPI into a virtual environment: python PYTHON FOLDER OPTIONS-AND-PACKAGES.
python() {
  local python=$1 into=$folder/$2
  shift 2
  { [ -e "$into" ] || "$python" -m venv "$into"; } && "$into/bin/python3" -m pip install --quiet "$@" || failed+=("${@: -1}")
}

debian nginx nginx-light
debian haproxy haproxy
debian ab apache2-utils
debian systemd-socket-activate systemd
debian python3 python3
debian node nodejs
debian npm npm
debian curl curl
debian chromium chromium
debian podman podman
debian dockerd docker.io
debian runc runc
debian busybox busybox-static
python python3 python requests requests-unixsocket aiohttp websockets sseclient
mkdir -p "$folder/node"
npm install --silent --no-audit --no-fund --no-package-lock --prefix "$folder/node" undici ws || failed+=(undici ws)
# Degu 0.18 builds only with CPython 3.6. pyenv may have it.
python36=$(ls -d ~/.pyenv/versions/3.6.*/bin/python3 2>/dev/null | tail -n 1)
python "${python36:-python3.6}" degu-0.18 --no-deps --no-binary :all: degu==0.18.0
# Autobahn's suite runs only with CPython 2.7. pyenv may have it.
python27=$(ls -d ~/.pyenv/versions/2.7.*/bin/python 2>/dev/null | tail -n 1)
if [ ! -e "$folder/autobahn" ]; then
  "${python27:=python2.7}" -m pip install --quiet --target "$folder/autobahn" 'autobahntestsuite<25' &&
    ln -s "$(command -v "$python27")" "$folder/autobahn/python" || failed+=(autobahntestsuite)
fi

if [ ${#failed[@]} -gt 0 ]; then echo "not installed: ${failed[*]}"; fi
