
// until returns a time in the person's zone, with the date unless it is today.
function until(text) {
  const time = new Date(text);
  const today = time.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(undefined, today ? { timeStyle: 'short' } : { dateStyle: 'medium', timeStyle: 'short' }).format(time);
}

const plural = (n, unit) => `${n} ${unit}${n === 1 ? '' : 's'}`;

// timeLeft rounds to minutes until the last two minutes.
function timeLeft(seconds) {
  if (seconds > 120) return `${Math.floor(seconds / 60)} min left`;
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')} left`;
}

// Countdown counts the seconds that the server named. The clock of the device may be wrong, so it is not used.
class Countdown {
  #timer; #end;

  start(seconds, tick, over) {
    this.stop();
    this.#end = performance.now() + seconds * 1000;
    const step = () => {
      const left = Math.ceil((this.#end - performance.now()) / 1000);
      if (left <= 0) {
        this.stop();
        over();
        return;
      }
      tick(left);
      if (left === 60 || left === 15) announce(left === 60 ? '1 minute left' : '15 seconds left');
    };
    this.#timer = setInterval(step, 1000);
    tick(Math.max(1, Math.ceil(seconds)));
  }

  stop() { clearInterval(this.#timer); }
}
