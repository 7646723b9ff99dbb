# shellcheck shell=sh
# Read by the launchers and by the package's own scripts; for any POSIX shell.

# Sets `python` to an interpreter that the libraries in this folder fit: their compiled parts are for CPython 3.10 to
# 3.14. By its name alone: kactus starts for every pod operation, and running each candidate would take longer.
find_interpreter() {
    # The distribution's default first: only that one comes with python3-systemd.
    for python in /usr/bin/python3 /usr/local/bin/python3; do
        python=$(readlink -f "$python")
        case ${python##*/} in
            python3.10 | python3.11 | python3.12 | python3.13 | python3.14) [ ! -x "$python" ] || return 0 ;;
        esac
    done
    for python in /usr/bin/python3.13 /usr/bin/python3.12 /usr/bin/python3.11 /usr/bin/python3.14 /usr/bin/python3.10 \
        /usr/local/bin/python3.1[0-4]; do
        [ ! -x "$python" ] || return 0
    done
    echo "podagent: no Python 3.10 to 3.14 in /usr/bin or /usr/local/bin: install your distribution's package of one," \
        "such as python3.12" >&2
    return 1
}
