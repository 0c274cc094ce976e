<?php
function publish(array $events, string $idempotencyKey): array
{
    $context = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => [
            'authorization: Bearer ' . getenv('REALTIME_KEY'),
            'content-type: application/json',
            "idempotency-key: $idempotencyKey"
        ],
        'content' => json_encode($events),
        'ignore_errors' => true,                     // a refusal has a body too
        'timeout' => 10
    ]]);
    $body = file_get_contents(getenv('REALTIME_URL') . '/api/publish', false, $context);
    if ($body === false) {
        throw new RuntimeException('no answer; publish again with the same key');
    }
    $answer = json_decode($body, true);
    if (isset($answer['code'])) {
        throw new RuntimeException("{$answer['code']}: {$answer['message']}");
    }
    return $answer['results'];
}

echo json_encode(publish([['room' => 'orders/7', 'event' => 'created', 'data' => ['n' => 3]]], 'import-3')), "\n";
