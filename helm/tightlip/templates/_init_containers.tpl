{{/* Containers that bring a release, and the one that checks what was brought, before the gateway starts. */}}
{{- define "tightlip.initContainers" -}}
{{- range $name, $from := .Values.artifacts }}
{{- with $from.init }}
- name: bring-{{ $name }}
  image: {{ include "tightlip.image" (list $ .image "latest") }}
  imagePullPolicy: {{ .image.pullPolicy | default "IfNotPresent" }}
  command: {{ toJson .command }}
  {{- with .env }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  resources:
    {{- toYaml $.Values.resources | nindent 4 }}
  securityContext:
    {{- toYaml $.Values.securityContext | nindent 4 }}
  volumeMounts:
    - {name: artifact-{{ $name }}, mountPath: /srv/tightlip/{{ $name }}}
    - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end }}
{{- if and .Values.verifyReleases .Values.artifacts }}
- name: verify
  image: {{ include "tightlip.image" (list . .Values.image .Chart.AppVersion) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [tightlip, release, verify, --config, /etc/tightlip/config/tightlip.yaml]
  {{- with .Values.extraEnv }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  resources:
    {{- toYaml .Values.resources | nindent 4 }}
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
  volumeMounts:
    {{- include "tightlip.mounts" . | nindent 4 }}
{{- end }}
{{- end }}
