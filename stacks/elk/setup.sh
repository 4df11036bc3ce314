#!/bin/sh
# Prepares Elasticsearch and Kibana for Omnitrace. Prints its steps, can run any number of times, and fails unless each
# answer confirms its step. Needs curl.
#
#   setup.sh elasticsearch   Kibana's password, permissions of Logstash and APM Server, field types, retention
#   setup.sh kibana          data view, searches, dashboard
#
# ELASTIC_PASSWORD, and for elasticsearch KIBANA_PASSWORD, LOGSTASH_PASSWORD and APM_PASSWORD;
# ELASTICSEARCH_URL and KIBANA_URL for other addresses; PATIENCE, the seconds to wait for either to be ready.
set -eu
cd "$(dirname "$0")"

ELASTICSEARCH_URL=${ELASTICSEARCH_URL:-http://elasticsearch:9200}
KIBANA_URL=${KIBANA_URL:-http://kibana:5601}
PATIENCE=${PATIENCE:-180}
PAUSE=${PAUSE:-2}

say() { printf 'setup: %s\n' "$*"; }

die() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

# check_secret NAME VALUE: refuses a value that would need quoting in JSON and curl's configuration.
check_secret() {
  case $2 in
    '') die "$1 is not set: run it by \`make up-elk\`, which writes one to .env" ;;
    *[!A-Za-z0-9._~-]*) die "$1 has a character other than letters, digits and ._~- : choose another one in .env" ;;
    ??????*) ;;
    *) die "$1 is shorter than 6 characters: choose another one in .env" ;;
  esac
}

# request WHAT METHOD URL EXPECTED [CURL-ARGUMENT...]: repeats until the answer is 2xx, which must contain EXPECTED.
# Temporary failures (no connection, not ready, busy) are retried, others end the script.
request() {
  what=$1 method=$2 url=$3 expected=$4
  shift 4
  begun=$(date +%s)
  until attempt "$method" "$url" "$@"; do
    case $status in
      000 | 401 | 408 | 429 | 5??) ;;
      *) die "$what: $method $url was refused with $status: $(cat "$scratch/answer")" ;;
    esac
    waited=$(($(date +%s) - begun))
    if [ "$waited" -ge "$PATIENCE" ]; then
      [ "$status" = 401 ] && die "$what: ELASTIC_PASSWORD is not the password of elastic: it was changed in Kibana"
      die "$what: $method $url has not answered within ${PATIENCE} s, at last $status: $(cat "$scratch/answer")"
    fi
    [ "$status" = "${reported:-}" ] || say "$what: waiting, the answer is $status"
    reported=$status
    sleep "$PAUSE"
  done
  reported=
  answer=$(tr -d ' \n' <"$scratch/answer")
  case $answer in
    *"$expected"*) say "$what: done" ;;
    *) die "$what: $method $url answered $status without $expected: $answer" ;;
  esac
}

# attempt METHOD URL [CURL-ARGUMENT...]: sets `status`, 000 without an answer.
attempt() {
  method=$1 url=$2
  shift 2
  : >"$scratch/answer"
  # The password is read from a file: every user of the machine can see arguments.
  status=$(curl --config "$scratch/credentials" --silent --connect-timeout 5 --max-time 60 \
    --output "$scratch/answer" --write-out '%{http_code}' --request "$method" "$@" "$url") || status=000
  case $status in 2??) return 0 ;; *) return 1 ;; esac
}

# elasticsearch WHAT METHOD PATH EXPECTED BODY-FILE
elasticsearch() {
  request "$1" "$2" "$ELASTICSEARCH_URL$3" "$4" --header 'content-type: application/json' --data-binary "@$5"
}

# user NAME ROLE PASSWORD
user() {
  printf '{"password":"%s","roles":["%s"]}' "$3" "$2" >"$scratch/user.json"
  elasticsearch "user $1" PUT "/_security/user/$1" '"created":' "$scratch/user.json"
}

# retained FILE: a copy with ELASTIC_RETENTION in place of seven days.
retained() {
  sed "s/\"7d\"/\"$ELASTIC_RETENTION\"/g" "$1" >"$scratch/${1##*/}"
  printf '%s' "$scratch/${1##*/}"
}

prepare_elasticsearch() {
  case $ELASTIC_RETENTION in
    *[!0-9dhm]* | [!1-9]* | *[0-9]) die "ELASTIC_RETENTION=$ELASTIC_RETENTION is no time such as 7d or 12h" ;;
  esac
  check_secret KIBANA_PASSWORD "${KIBANA_PASSWORD:-}"
  check_secret LOGSTASH_PASSWORD "${LOGSTASH_PASSWORD:-}"
  check_secret APM_PASSWORD "${APM_PASSWORD:-}"
  printf '{"password":"%s"}' "$KIBANA_PASSWORD" >"$scratch/user.json"
  elasticsearch "user kibana_system" POST /_security/user/kibana_system/_password '{}' "$scratch/user.json"
  elasticsearch "role logstash_writer" PUT /_security/role/logstash_writer '"role":{"created":' elasticsearch/logstash-writer.json
  user logstash_writer logstash_writer "$LOGSTASH_PASSWORD"
  elasticsearch "role apm_writer" PUT /_security/role/apm_writer '"role":{"created":' elasticsearch/apm-writer.json
  user apm_writer apm_writer "$APM_PASSWORD"
  elasticsearch "types of log lines" PUT /_index_template/logs-omnitrace '"acknowledged":true' "$(retained elasticsearch/index-template.json)"
  elasticsearch "retention" PUT /_cluster/settings '"acknowledged":true' "$(retained elasticsearch/cluster-settings.json)"
}

prepare_kibana() {
  # 200 means that the file was read; the answer lists refused objects.
  request "import of data view, searches and dashboard" POST "$KIBANA_URL/api/saved_objects/_import?overwrite=true" '"success":true' \
    --header 'kbn-xsrf: setup' --form file=@kibana/objects.ndjson
  request "default data view" POST "$KIBANA_URL/api/data_views/default" '"acknowledged":true' --header 'kbn-xsrf: setup' \
    --header 'content-type: application/json' --data '{"data_view_id":"omnitrace-logs","force":true}'
}

check_secret ELASTIC_PASSWORD "${ELASTIC_PASSWORD:-}"
: "${ELASTIC_RETENTION:=7d}"
umask 077
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
printf 'user = "elastic:%s"\n' "$ELASTIC_PASSWORD" >"$scratch/credentials"

case ${1:-} in
  elasticsearch) prepare_elasticsearch ;;
  kibana) prepare_kibana ;;
  *) die "say what to prepare: setup.sh elasticsearch, or setup.sh kibana" ;;
esac
