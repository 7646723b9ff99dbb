#!/usr/bin/env bash
# What the service runs: podagent with the variables of podagent.conf. That is a file for the shell, as the original's:
# systemd's EnvironmentFile= does not understand `export`.
set -e

# Would end the interpreter that starts below: a reload that comes before the agent has read anything is no loss.
trap '' HUP

readonly CONF=/opt/kaloom/etc/podagent.conf

if [[ -e $CONF ]]; then
    bash -n "$CONF" || {
        echo "podagent: $CONF has an error, see above; correct it, the service is retried by itself" >&2
        exit 2
    }
    set -a
    # shellcheck source=etc/podagent.conf
    . "$CONF"
    set +a
fi
exec /opt/kaloom/bin/podagent run
