curl -i @url@/log-request \
  -H "X-API-KEY: @key@" \
  -H "Content-Type: application/json" \
  -d '{"provider": "openai", "model": "gpt-5.5", "status": "SUCCESS",
    "input_tokens": 12, "output_tokens": 3,
    "request_start_time": '"$(date +%s)"', "request_end_time": '"$(date +%s)"',
    "metadata": {"use_case": "hello-tollkeeper"}}'
