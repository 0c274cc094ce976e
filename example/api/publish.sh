curl -sS "$REALTIME_URL/api/publish" -H "authorization: Bearer $REALTIME_KEY" -H 'content-type: application/json' \
  -d '{ "room": "orders/7", "event": "created", "data": { "n": 1 }, "idempotencyKey": "order-7" }'
