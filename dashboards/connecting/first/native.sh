curl -i @url@/api/v1/usage/events \
  -H "Authorization: Bearer @key@" \
  -H "Content-Type: application/json" \
  -d '{"id": "hello-'"$(date +%s)"'", "time": "'"$(date -u +%FT%TZ)"'",
    "use_case": "hello-tollkeeper", "provider": "openai", "model": "gpt-5.5",
    "input_tokens": 12, "output_tokens": 3}'
