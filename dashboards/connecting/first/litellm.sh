curl -i @url@/api/v1/usage/litellm \
  -H "Authorization: Bearer @key@" \
  -H "Content-Type: application/json" \
  -d '[{"id": "hello-'"$(date +%s)"'", "litellm_call_id": "hello-'"$(date +%s)"'",
    "status": "success", "startTime": '"$(date +%s)"', "endTime": '"$(date +%s)"',
    "model": "gpt-5.5", "custom_llm_provider": "openai",
    "prompt_tokens": 12, "completion_tokens": 3,
    "request_tags": ["use_case:hello-tollkeeper"]}]'
