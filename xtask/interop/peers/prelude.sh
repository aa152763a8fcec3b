# The variables and functions for the commands of peers.rs. The caller has set FOLDER, the temporary folder of the run, and
# INSTALLED, the folder of the programs and packages that install.sh has installed.
set -o pipefail
NODE=$INSTALLED/node
PYTHON=$INSTALLED/python/bin/python3
PYTHON36=$INSTALLED/degu-0.18/bin/python3
AUTOBAHN="$INSTALLED/autobahn/python -u -W ignore autobahn_suite.py $INSTALLED/autobahn"

# Prints the version of a package, if another package is installed, too: pypi PACKAGE [OTHER].
pypi() { "$PYTHON" -c "import ${2:-sys}, $1; print($1.__version__)"; }

# Prints the version of a package: npm PACKAGE.
npm() { grep '"version"' "$NODE/node_modules/$1/package.json"; }
