#!/bin/bash
# Makes the small folder that client suites expect under KAFKA_PATH: bin/*.sh that call Kafka's Java
# tools, and libs with the jars.
#
#   kafka_shim.sh LIBS DIR        LIBS: a folder that tests/kafka/resolve filled
set -eu
libs=$(realpath "$1") dir=$2
ls "$libs"/kafka-tools-*.jar > /dev/null || { echo "no Kafka jars in $libs" >&2; exit 1; }
mkdir -p "$dir/bin"
ln -sfn "$libs" "$dir/libs"
cat > "$dir/bin/kafka-run-class.sh" <<'SCRIPT'
#!/bin/bash
here=$(cd "$(dirname "$0")/.." && pwd)
exec java ${KAFKA_HEAP_OPTS:--Xmx256m} -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
  -Dlog4j2.level=WARN -cp "$here/libs/*${CLASSPATH:+:$CLASSPATH}" "$@"
SCRIPT
tool() {
  printf '#!/bin/bash\nexec "$(dirname "$0")/kafka-run-class.sh" %s "$@"\n' "$2" > "$dir/bin/$1.sh"
}
tool kafka-topics org.apache.kafka.tools.TopicCommand
tool kafka-acls org.apache.kafka.tools.AclCommand
tool kafka-configs kafka.admin.ConfigCommand
tool kafka-features org.apache.kafka.tools.FeatureCommand
tool kafka-consumer-groups org.apache.kafka.tools.consumer.group.ConsumerGroupCommand
tool kafka-broker-api-versions org.apache.kafka.tools.BrokerApiVersionsCommand
chmod +x "$dir"/bin/*.sh
realpath "$dir"
