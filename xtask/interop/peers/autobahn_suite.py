"""Autobahn's suite: `autobahn_suite.py FOLDER CODE ...` runs Python code that can import the packages in a folder, with Python 2.7."""

import site
import sys

folder, code = sys.argv[1:3]
site.addsitedir(folder)
del sys.argv[1:3]
exec(code)
