{{/* The gateway's configuration, its policy, and the moments of its end. */}}

{{- define "tightlip.givenSettings" -}}
{{ tpl (toYaml .Values.settings) . }}
{{- end }}

{{/* tightlip.yaml: what was given, and what the chart itself knows. */}}
{{- define "tightlip.settings" -}}
{{- $given := include "tightlip.givenSettings" . | fromYaml -}}
{{- $made := dict "policy" "/etc/tightlip/policy/policy.yaml" -}}
{{- range $name, $port := dict "public" 8080 "management" 9090 }}
{{- $_ := set $made $name (include "tightlip.listener" (list $ $name $port) | fromYaml) -}}
{{- end }}
{{- with include "tightlip.state" . | fromYaml }}{{ $_ := set $made "state" . }}{{ end -}}
{{- toYaml (merge $made $given) }}
{{- end }}

{{/* Of (root, "public" or "management", port). */}}
{{- define "tightlip.listener" -}}
host: {{ (index . 0).Values.listenOn | quote }}
port: {{ index . 2 }}
{{- $folder := printf "/etc/tightlip/tls/%s" (index . 1) }}
{{- with index (index . 0).Values.tls (index . 1) }}
{{- if .existingSecret }}
tls:
  certificate: {{ $folder }}/tls.crt
  key: {{ $folder }}/tls.key
  min_version: {{ .minVersion | quote }}
  {{- if ne .clientCertificates "none" }}
  client_ca: {{ $folder }}/ca.crt
  client_certificates: {{ .clientCertificates }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The state that the chart itself provides. */}}
{{- define "tightlip.state" -}}
{{- if .Values.sqlite.enabled }}
file: /var/lib/tightlip/tightlip.db
{{- else if .Values.redis.enabled }}
url: {{ .Values.redis.tls.existingSecret | empty | ternary "redis" "rediss" }}://{{ include "tightlip.fullname" . }}-redis:6379/0
user: gateway
password_file: /etc/tightlip/redis/password
{{- if .Values.redis.tls.existingSecret }}
ca_file: /etc/tightlip/redis-ca/ca.crt
{{- else }}
allow_plaintext: true
{{- end }}
{{- end }}
{{- end }}

{{/* The policy as an object, be it given as one or as text. */}}
{{- define "tightlip.policyObject" -}}
{{- if kindIs "string" .Values.policy.document -}}
{{ .Values.policy.document }}
{{- else -}}
{{ toYaml .Values.policy.document }}
{{- end }}
{{- end }}

{{- define "tightlip.drainSeconds" -}}
{{ (include "tightlip.givenSettings" . | fromYaml).drain_seconds | default 30 | ceil | int }}
{{- end }}

{{- define "tightlip.unreadySeconds" -}}
{{ (include "tightlip.givenSettings" . | fromYaml).unready_seconds | default 0 | ceil | int }}
{{- end }}

{{/* Seconds from a pod's end being decided until its last answer has ended. */}}
{{- define "tightlip.goneSeconds" -}}
{{ add .Values.preStopSeconds (include "tightlip.unreadySeconds" . | int) (include "tightlip.drainSeconds" . | int) }}
{{- end }}

{{/* Seconds for what is left to be written then: records, and traces, which may be given longer. */}}
{{- define "tightlip.lastSeconds" -}}
{{ max 2 (((include "tightlip.givenSettings" . | fromYaml).traces | default dict).last_seconds | default 2 | ceil | int) }}
{{- end }}

{{- define "tightlip.graceSeconds" -}}
{{ .Values.terminationGracePeriodSeconds | default (add (include "tightlip.goneSeconds" . | int) (include "tightlip.lastSeconds" . | int) 13) | int }}
{{- end }}
