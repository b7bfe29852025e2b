// A page that only leads on does so by itself; without this script its button does.
"use strict";
document.querySelector("form[data-onward]").submit();
