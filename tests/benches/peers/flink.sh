#!/usr/bin/env bash
# Flink's standalone cluster for one job: a JobManager and a TaskManager start, flink.sql is submitted, its end is waited for.
# usage: flink.sh PEERS WORK SERVERS TOPIC FOLDER      PEERS: where `install` has put Flink; WORK: a folder for its logs and state
set -euo pipefail
recipes=$(cd "$(dirname "$0")" && pwd)
peers=$1 work=$2 servers=$3 topic=$4 folder=$5
mkdir -p "$work/conf" "$work/tmp" "$folder"
package=$(echo "$peers"/flink/lib/python3*/site-packages/pyflink)
jars() { echo "$@" | tr ' ' ':'; }
classes=$(jars "$package"/lib/*.jar "$peers"/flink/lib-more/*.jar)

# Two slots, as many as this machine's cores in the figures; memory as in Flink's own example configuration.
rest=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/conf/config.yaml" <<YAML
jobmanager: {rpc: {address: 127.0.0.1, port: 0}, bind-host: 127.0.0.1, memory: {process: {size: 1024m}}}
taskmanager: {host: 127.0.0.1, bind-host: 127.0.0.1, memory: {process: {size: 2048m}}, numberOfTaskSlots: 2}
parallelism: {default: 2}
rest: {address: 127.0.0.1, bind-address: 127.0.0.1, port: $rest}
execution: {checkpointing: {interval: 10s, mode: EXACTLY_ONCE, dir: "file://$work/checkpoints"}}
state: {backend: {type: hashmap}}
io: {tmp: {dirs: "$work/tmp"}}
YAML
# The JobManager's own port must be known to the TaskManager.
rpc=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
sed -i "s/port: 0}/port: $rpc}/" "$work/conf/config.yaml"
cat >"$work/conf/log4j.properties" <<'LOG'
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = Console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss} %p %c{1} %m%n
LOG
sed -e "s#@TOPIC@#$topic#;s#@SERVERS@#$servers#;s#@FOLDER@#$folder#;s#@GROUP@#flink-$(basename "$folder")#" \
  "$recipes/flink.sql" >"$work/job.sql"

export FLINK_CONF_DIR=$work/conf
logging=-Dlog4j.configurationFile=file:$work/conf/log4j.properties
opens=()
for name in lang net io nio lang.reflect text time util util.concurrent util.concurrent.atomic util.concurrent.locks; do
  opens+=("--add-opens=java.base/java.$name=ALL-UNNAMED")
done
opens+=(--add-opens=java.base/sun.nio.ch=ALL-UNNAMED)

# How much of the TaskManager's memory is heap: Flink's own scripts ask the same tool.
java -cp "$package/bin/bash-java-utils.jar:$classes" "$logging" org.apache.flink.runtime.util.bash.BashJavaUtils \
  GET_TM_RESOURCE_PARAMS --configDir "$work/conf" >"$work/parameters" 2>/dev/null
mapfile -t parameters < <(sed -n 's/^BASH_JAVA_UTILS_EXEC_RESULT://p' "$work/parameters")
read -ra memory <<<"${parameters[0]}"
read -ra dynamic <<<"${parameters[1]}"

java -Xmx600m "${opens[@]}" "$logging" -cp "$classes" org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint \
  --configDir "$work/conf" --executionMode cluster >"$work/jobmanager.log" 2>&1 &
manager=$!
java "${memory[@]}" -XX:+UseG1GC "${opens[@]}" "$logging" -cp "$classes" org.apache.flink.runtime.taskexecutor.TaskManagerRunner \
  --configDir "$work/conf" "${dynamic[@]}" >"$work/taskmanager.log" 2>&1 &
worker=$!
# Waited for, so that what they used is counted.
trap 'kill $worker $manager 2>/dev/null || true; wait || true' EXIT

ask() { curl -sf "http://127.0.0.1:$rest/$1" || true; }
for _ in $(seq 240); do
  case $(ask taskmanagers) in *'"id"'*) break ;; *) sleep 0.5 ;; esac
done
java "${opens[@]}" "$logging" -cp "$classes:$(jars "$package"/opt/flink-*.jar)" org.apache.flink.table.client.SqlClient \
  embedded -f "$work/job.sql" >"$work/client.log" 2>&1
while kill -0 $manager $worker; do
  case $(ask jobs/overview) in
    *'"state":"FINISHED"'*) exit 0 ;;
    *'"state":"FAILED"'* | *'"jobs":[]'*) break ;;
  esac
  sleep 0.5
done
tail -30 "$work/client.log" "$work/taskmanager.log" >&2
exit 1
