{{- define "memgap.name" -}}
app.kubernetes.io/name: memgap-exporter
{{- end }}

{{- /* What every profile mounts of the host, read-only: name, path, where its flag looks. */}}
{{- define "memgap.paths" -}}
{{- $cgroup := "/sys/fs/cgroup" }}
{{- if and .Values.cgroupV1 (ne .Values.profile "cgroup") }}
{{- $cgroup = "/sys/fs/cgroup/memory" }}
{{- end }}
proc: /proc
cgroup: {{ $cgroup }}
container-logs: /var/log/containers
{{- end }}
