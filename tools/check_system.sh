#!/usr/bin/env bash
# Check what must come from the system, before anything is installed. Usage: tools/check_system.sh [--packages] PYTHON
# One line for each thing that is missing, with the apt package that brings it; exit 1 if there is any.
# --packages prints the names of those packages instead, one a line.
set -uo pipefail
if [ "${1:-}" = --packages ]; then
  "$0" "${2:-python3}" 2>&1 >/dev/null | sed -n 's/.*(apt package: \(.*\))$/\1/p' | tr ' ' '\n'
  exit 0
fi
python=${1:-python3}
missing=0
packages=()

lack() { # lack <what is missing> <apt packages>
  echo "missing: $1 (apt package: $2)" >&2
  packages+=("$2")
  missing=1
}
command_or_lack() { command -v "$1" >/dev/null || lack "the command '$1'" "$2"; }
library() { [[ $libraries == *"$1"* ]] || compgen -G "/usr/lib/*/$1*" >/dev/null; }
library_or_lack() { library "$1" || lack "the library $1" "$2"; }

PATH=$PATH:/sbin:/usr/sbin
libraries=$(ldconfig -p 2>/dev/null)

command_or_lack cc gcc
command_or_lack c++ g++
command_or_lack make make
command_or_lack cmake cmake

if ! version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); then
  lack "a working '$python'" "python3-venv python3-dev"
else
  case $version in
    3.11 | 3.12) ;;
    *)
      echo "error: '$python' is Python $version; 3.11 or 3.12 is needed: make PYTHON=python3.12 ..." >&2
      missing=1
      ;;
  esac
  "$python" -c 'import ensurepip, venv' 2>/dev/null || lack "the Python modules venv and ensurepip" "python$version-venv"
  "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(sysconfig.get_paths()["include"] + "/Python.h"))' || lack "Python.h" "python$version-dev"
fi

# MuJoCo draws without a screen through EGL, or through OSMesa when MUJOCO_GL says so.
if [ "${MUJOCO_GL:-egl}" = osmesa ]; then
  library_or_lack libOSMesa.so libosmesa6
else
  library_or_lack libEGL.so.1 libegl1
  library_or_lack libOpenGL.so.0 libopengl0
  library_or_lack libgbm.so.1 libgbm1
  if ! compgen -G '/usr/lib/*/dri/*_dri.so' >/dev/null && ! compgen -G '/usr/share/glvnd/egl_vendor.d/*nvidia*' >/dev/null; then
    lack "an OpenGL driver" libgl1-mesa-dri
  fi
fi

if [ ${#packages[@]} -gt 0 ]; then
  echo "install them: sudo apt-get install ${packages[*]}" >&2
fi
exit $missing
