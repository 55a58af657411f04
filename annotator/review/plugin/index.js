// Keys of the reviewer's plugin. FiftyOne has none for operators of plugins; Alt keeps clear of its own keys.
(function () {
  const reasons = [
    "wrong joints", "left and right exchanged", "joints of two people", "nobody there", "same person twice",
    "too small or blurred", "other",
  ];
  const keys = { KeyA: "accept", KeyS: "send_back", KeyC: "clear_decision", KeyN: "next_person", KeyE: "correct_joints" };

  function request(event) {
    const digit = /^Digit([1-9])$/.exec(event.code);
    if (digit && digit[1] <= reasons.length) return ["reject", { reason: reasons[digit[1] - 1] }];
    return keys[event.code] ? [keys[event.code], {}] : null;
  }

  document.addEventListener(
    "keydown",
    (event) => {
      const typing = event.target.closest && event.target.closest("input, textarea, [contenteditable=true]");
      if (!event.altKey || event.ctrlKey || event.metaKey || event.repeat || typing) return;
      const found = request(event);
      if (!found) return;
      event.preventDefault();
      event.stopPropagation();
      window.__foo__.executeOperator("@pose-annotator/review/" + found[0], found[1]);
    },
    true
  );
})();
