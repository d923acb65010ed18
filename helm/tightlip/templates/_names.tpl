{{/* Names, labels and images. */}}

{{- define "tightlip.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Of (root, component): what selects its pods, for as long as the release lives. */}}
{{- define "tightlip.selector" -}}
{{ include "tightlip.instance" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* What selects all of its pods. A chart that has this one twice, under aliases, keeps them apart by their names. */}}
{{- define "tightlip.instance" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Of (root, component): of every object. */}}
{{- define "tightlip.labels" -}}
{{- $root := index . 0 -}}
{{ include "tightlip.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Of (root, component): the head of every object's metadata. */}}
{{- define "tightlip.metadata" -}}
namespace: {{ (index . 0).Release.Namespace }}
labels:
  {{- include "tightlip.labels" . | nindent 2 }}
{{- end }}

{{/* Of (root, image, tag if it names none). */}}
{{- define "tightlip.image" -}}
{{- $root := index . 0 }}{{ $image := index . 1 -}}
{{- $registry := $root.Values.global.imageRegistry | default $image.registry -}}
{{- $name := $registry | empty | ternary $image.repository (printf "%s/%s" $registry $image.repository) -}}
{{- if $image.digest -}}
{{ $name }}@{{ $image.digest }}
{{- else -}}
{{ $name }}:{{ $image.tag | default (index . 2) }}
{{- end }}
{{- end }}

{{- define "tightlip.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "tightlip.serviceAccount" -}}
{{ .Values.serviceAccount.existing | default (include "tightlip.fullname" .) }}
{{- end }}

{{- define "tightlip.policyMap" -}}
{{ .Values.policy.existingConfigMap | default (printf "%s-policy" (include "tightlip.fullname" .)) }}
{{- end }}

{{/* Of (root, "serviceMonitor" or "prometheusRule", the kind): "yes" where such an object is to be. */}}
{{- define "tightlip.monitored" -}}
{{- $root := index . 0 }}{{ $wish := (index $root.Values (index . 1)).enabled | toString -}}
{{- if or (eq $wish "true") (and (eq $wish "auto") ($root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" (index . 2)))) -}}
yes
{{- end }}
{{- end }}
