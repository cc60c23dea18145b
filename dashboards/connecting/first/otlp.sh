curl -i @url@/v1/traces \
  -H "Authorization: Bearer @key@" \
  -H "Content-Type: application/json" \
  -d '{"resourceSpans": [{"scopeSpans": [{"spans": [{
    "traceId": "'"$(printf %032x $(date +%s))"'", "spanId": "'"$(printf %016x $(date +%s))"'",
    "name": "chat gpt-5.5", "kind": 3, "startTimeUnixNano": "'"$(date +%s)"'000000000",
    "endTimeUnixNano": "'"$(date +%s)"'000000000", "attributes": [
      {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
      {"key": "gen_ai.provider.name", "value": {"stringValue": "openai"}},
      {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-5.5"}},
      {"key": "tollkeeper.use_case", "value": {"stringValue": "hello-tollkeeper"}},
      {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "12"}},
      {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "3"}}
    ]}]}]}]}'
