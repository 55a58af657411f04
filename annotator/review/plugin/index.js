// Keys of the reviewer's plugin. FiftyOne has none for operators of plugins; Alt keeps clear of its own keys.
(function () {
  const reasons = [
    "wrong joints", "left and right exchanged", "joints of two people", "nobody there", "same person twice",
    "too small or blurred", "other",
  ];
  const keys = {
    KeyA: "accept", KeyS: "send_back", KeyC: "clear_decision", KeyN: "next_person", KeyE: "correct_joints",
    KeyP: "add_person",
  };

  function request(event) {
    const digit = /^Digit([1-9])$/.exec(event.code);
    if (digit && digit[1] <= reasons.length) return ["reject", { reason: reasons[digit[1] - 1] }];
    return keys[event.code] ? [keys[event.code], {}] : null;
  }

  // The App edits labels whose field is shown in the open sample, and offers no call to show one there.
  function showLines() {
    for (const field of ["poses", "missed"]) {
      const box = document.querySelector(`[data-cy="modal"] [data-cy="checkbox-${field}"]`);
      const input = box && (box.matches("input") ? box : box.querySelector("input"));
      if (input && !input.checked) input.click();
    }
  }

  // An open sample stays as it was opened: after a change that somebody must see at once, `sample` is the new one.
  class CorrectJoints extends window.__foo__.Operator {
    get config() {
      return new window.__foo__.OperatorConfig({ name: "correct_joints", label: "Correct joints", icon: "edit" });
    }
    useHooks() {
      return { refreshSample: window.__fos__.useRefreshSample() };
    }
    async execute(context) {
      const id = context.currentSample;
      if (!id) return;
      if (context.params.sample) context.hooks.refreshSample(context.params.sample);
      showLines();
      await new Promise((done) => setTimeout(done, 300));
      window.__foo__.executeOperator("@voxel51/operators/open_sample", { id, mode: "annotate" });
    }
  }
  window.__foo__.registerOperator(CorrectJoints, "@pose-annotator/review");

  document.addEventListener(
    "keydown",
    (event) => {
      const typing = event.target.closest && event.target.closest("input[type=text], input:not([type]), textarea, [contenteditable=true]");
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
