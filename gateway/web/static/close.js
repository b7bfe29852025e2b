// Tell the LMS that its window can be closed (LTI Dynamic Registration 1.0): when the person has read what was granted.
"use strict";
const done = document.getElementById("done");
done.hidden = false;
done.addEventListener("click", () => (window.opener || window.parent).postMessage({ subject: "org.imsglobal.lti.close" }, "*"));
