;; A heap of SBCL's, in the protocol of target.h.
(defvar *rows* (loop for i below 300000 collect (list i (format nil "user ~a" i))))
(gc)
(format t "ready heap=~d~%" (sb-kernel:dynamic-usage))
(finish-output)
(read-line)
(print (length *rows*))
