{{- define "tidegate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "tidegate.labels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "tidegate.serviceAccountName" -}}
{{- default (ternary (include "tidegate.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end }}

{{/* Seconds of a duration as the job file takes it, such as 25s or 1m 30s, rounded up. */}}
{{- define "tidegate.seconds" -}}
{{- $seconds := 0.0 -}}
{{- $text := .value | toString | nospace -}}
{{- $units := dict "ms" 0.001 "s" 1 "sec" 1 "m" 60 "min" 60 "h" 3600 "hr" 3600 -}}
{{- if not (regexMatch "^([0-9]+(ms|sec|s|min|m|hr|h))+$" $text) -}}
{{- fail (printf "jobs.%s.config.timeouts.stop: %q is no duration that this chart reads; write it in seconds, such as 25s" .job .value) -}}
{{- end -}}
{{- range regexFindAll "[0-9]+(ms|sec|s|min|m|hr|h)" $text -1 -}}
{{- $number := regexFind "^[0-9]+" . -}}
{{- $seconds = addf $seconds (mulf (float64 $number) (get $units (trimPrefix $number .))) -}}
{{- end -}}
{{- ceil $seconds | int -}}
{{- end }}

{{/* Bytes of a size as the job file or Kubernetes takes it, such as 512MiB or 1.5Gi; nothing for what is none, such as ${VAR}. */}}
{{- define "tidegate.bytes" -}}
{{- $text := . | toString | nospace | lower | trimSuffix "b" -}}
{{- if regexMatch "^[0-9]+([.][0-9]+)?(e[+][0-9]+)?([kmgt]i?)?$" $text -}}
{{- $unit := regexFind "([kmgt]i?)?$" $text -}}
{{- $units := dict "" 1 "k" 1e3 "m" 1e6 "g" 1e9 "t" 1e12 "ki" 1024 "mi" 1048576 "gi" 1073741824 "ti" 1099511627776 -}}
{{- mulf (trimSuffix $unit $text | float64) (get $units $unit) | int64 -}}
{{- end -}}
{{- end }}

{{/*
One job with everything that its objects need, as JSON; the one place where defaults, values and the job file meet.
Takes {root, key}; gives the values with: key, name, kind, labels, selector, config, scheme, grace, claim, oneNode, strategy.
*/}}
{{- define "tidegate.job" -}}
{{- $root := .root -}}
{{- $key := .key -}}
{{- $job := mergeOverwrite (deepCopy $root.Values.jobDefaults) (deepCopy (get $root.Values.jobs $key)) -}}
{{- $config := $job.config -}}
{{- $http := default dict $config.http -}}
{{- if hasKey $http "listen" -}}
{{- fail (printf "jobs.%s.config.http.listen: belongs to the chart; set jobs.%s.httpPort" $key $key) -}}
{{- end -}}
{{- range $need := list "kafka" "sink" -}}
{{- if not (get $config $need) -}}
{{- fail (printf "jobs.%s.config.%s: is missing" $key $need) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config "job" (default $key $config.job) -}}
{{- $_ := set $config "http" (merge (dict "listen" (printf "%s:%d" (ternary "[::]" $job.httpAddress (eq $job.httpAddress "::")) (int $job.httpPort))) $http) -}}
{{- if $job.staticMembership -}}
{{- $static := dict "group.instance.id" "${POD_NAME}" "session.timeout.ms" 45000 -}}
{{- $_ := set $config.kafka "properties" (merge (default dict $config.kafka.properties) $static) -}}
{{- end -}}
{{- $stop := include "tidegate.seconds" (dict "job" $key "value" (dig "timeouts" "stop" "25s" $config)) | int -}}
{{- $grace := default (add $stop 20) $job.terminationGracePeriodSeconds | int -}}
{{- if le $grace $stop -}}
{{- fail (printf "jobs.%s.terminationGracePeriodSeconds: %d is not longer than config.timeouts.stop (%d s); the last checkpoint would be killed" $key $grace $stop) -}}
{{- end -}}
{{- $memory := default "256MiB" (default dict $config.memory).limit -}}
{{- $limit := (default dict $job.resources.limits).memory -}}
{{- $bytes := include "tidegate.bytes" $limit -}}
{{- if and $bytes (lt (int64 $bytes) (include "tidegate.bytes" $memory | int64 | add 67108864)) -}}
{{- fail (printf "jobs.%s.resources.limits.memory: %v is less than config.memory.limit (%v) and 64Mi, which the process needs; raise it, or lower config.memory.limit" $key $limit $memory) -}}
{{- end -}}
{{- with $job.autoscaling -}}
{{- if and (ne .type "none") (gt (int .maxReplicas) (int .partitions)) -}}
{{- fail (printf "jobs.%s.autoscaling.maxReplicas: %d is more than the %d partitions; the rest would wait idle" $key (int .maxReplicas) (int .partitions)) -}}
{{- end -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail (printf "jobs.%s.autoscaling.minReplicas: %d is more than maxReplicas (%d)" $key (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- $name := printf "%s-%s" (include "tidegate.fullname" $root) $key -}}
{{- if and $job.staticMembership (gt (len $name) 52) -}}
{{- fail (printf "jobs.%s.staticMembership: a StatefulSet whose name is longer than 52 characters makes no pods, and %s is; shorten the job's name, or set a shorter fullnameOverride" $key $name) -}}
{{- end -}}
{{/* A volume that only one node mounts: a new replica elsewhere would wait for the old one, and the old one for the new one. */}}
{{- $oneNode := and $job.persistence.enabled (not (has "ReadWriteMany" $job.persistence.accessModes)) -}}
{{- $scales := and (ne $job.autoscaling.type "none") (gt (int $job.autoscaling.maxReplicas) 1) -}}
{{- if and $oneNode (or $scales (and (eq $job.autoscaling.type "none") (gt (int $job.replicas) 1))) -}}
{{- $many := ternary (printf "autoscaling.maxReplicas is %d" (int $job.autoscaling.maxReplicas)) (printf "replicas is %d" (int $job.replicas)) $scales -}}
{{- fail (printf "jobs.%s.persistence.accessModes: %s lets one node mount the volume, and %s: those on other nodes would wait for ever; use ReadWriteMany, or one replica" $key (join ", " $job.persistence.accessModes) $many) -}}
{{- end -}}
{{- $rolling := dict "type" "RollingUpdate" "rollingUpdate" (dict "maxSurge" 1 "maxUnavailable" 0) -}}
{{- $strategy := default (ternary (dict "type" "Recreate") $rolling $oneNode) $job.strategy -}}
{{- $scheme := ternary "HTTPS" "HTTP" (not (empty (default dict $http.tls).cert)) -}}
{{- $selector := dict "app.kubernetes.io/name" (default $root.Chart.Name $root.Values.nameOverride | trunc 40 | trimSuffix "-") "app.kubernetes.io/instance" $root.Release.Name "tidegate.io/job" $key -}}
{{- $labels := merge (dict "tidegate.io/job" $key) (include "tidegate.labels" $root | fromYaml) -}}
{{- $made := dict "key" $key "name" $name "kind" (ternary "StatefulSet" "Deployment" $job.staticMembership) "labels" $labels "selector" $selector "scheme" $scheme "grace" $grace "claim" (default $name $job.persistence.existingClaim) "oneNode" $oneNode "strategy" $strategy -}}
{{- merge $made $job | toJson -}}
{{- end }}

{{/* What a restart must take over: the job file without what a running replica takes over by itself. */}}
{{- define "tidegate.checksum" -}}
{{- $config := deepCopy .config -}}
{{- range $path := list "speed.bytes_per_second" "checkpoint.interval" "checkpoint.max_records" "checkpoint.max_bytes" "log.level" -}}
{{- $parts := splitList "." $path -}}
{{- $section := get $config (first $parts) -}}
{{- if kindIs "map" $section -}}
{{- $_ := unset $section (last $parts) -}}
{{- if not $section -}}{{- $_ := unset $config (first $parts) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $_ := unset $config "error_limit" -}}
{{- toJson $config | sha256sum -}}
{{- end }}

{{/* The pod of a job, for its replicas and its audit. Takes {root, job, container, probes, restart}. */}}
{{- define "tidegate.pod" -}}
{{- $root := .root -}}
{{- $job := .job -}}
serviceAccountName: {{ include "tidegate.serviceAccountName" $root }}
# Cloud identities bring tokens of their own; nothing here asks the API server.
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
terminationGracePeriodSeconds: {{ $job.grace }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $job.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $job.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $job.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $job.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
volumes:
  - {name: job, configMap: {name: {{ $job.name }}}}
  - {name: tmp, emptyDir: {}}
  {{- range $job.secretFiles }}
  - {name: secret-{{ . }}, secret: {secretName: {{ . }}, defaultMode: 288}}
  {{- end }}
  {{- if $job.persistence.enabled }}
  - {name: warehouse, persistentVolumeClaim: {claimName: {{ $job.claim }}}}
  {{- end }}
  {{- with $job.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* A container of a job. Takes {root, job, name, args}; what follows is added by the caller. */}}
{{- define "tidegate.container" -}}
{{- $image := .root.Values.image -}}
{{- $job := .job -}}
name: {{ .name }}
{{- if $image.digest }}
image: {{ printf "%s@%s" $image.repository $image.digest }}
{{- else }}
image: {{ printf "%s:%s" $image.repository (default .root.Chart.AppVersion $image.tag) }}
{{- end }}
imagePullPolicy: {{ $image.pullPolicy }}
args: {{- toYaml .args | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
env:
  - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  # By which the status pages of replicas lead to one another.
  - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
  # So that its own check of the timeouts knows the real one.
  - {name: TIDEGATE_KILL_DELAY, value: {{ $job.grace }}s}
  {{- with $job.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $job.envFrom }}
envFrom: {{- toYaml . | nindent 2 }}
{{- end }}
resources: {{- toYaml $job.resources | nindent 2 }}
volumeMounts:
  # The whole folder, not a file of it: only so does a change reach a running pod.
  - {name: job, mountPath: /etc/tidegate, readOnly: true}
  - {name: tmp, mountPath: /tmp}
  {{- range $job.secretFiles }}
  - {name: secret-{{ . }}, mountPath: /run/secrets/tidegate/{{ . }}, readOnly: true}
  {{- end }}
  {{- if $job.persistence.enabled }}
  - {name: warehouse, mountPath: {{ $job.persistence.mountPath }}}
  {{- end }}
  {{- with $job.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
