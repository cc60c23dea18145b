"""How a worker lives through the loss of Redis with nudges in its hands."""

from __future__ import annotations

from contextlib import suppress

from celery.worker.consumer import Consumer


class SteadyConsumer(Consumer):
    """Celery's consumer, which closes the channels of a lost connection before it forgets where that led.

    Celery 5.7 asks kombu 5.7 to close a lost connection twice. The first time, closing the channel that waits for
    nudges fails with its broken read, and closing the next one ends the loop over all of them; the second time the
    channel is closed, and would put back what nobody has begun with, by a connection whose address is gone by then.
    That AttributeError ended the worker, and whoever watches over it had to start it again.
    """

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close every channel by itself, and reconnect as Celery does.

        Twice, since a broken read fails the first time and not again; a channel that is closed stays so.
        """
        for channel in list(self.connection.transport.channels):
            for _ in range(2):
                with suppress(Exception):
                    channel.close()
        super().on_connection_error_after_connected(exc)
